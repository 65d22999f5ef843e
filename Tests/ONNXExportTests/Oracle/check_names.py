"""Check that the current TensorRT and Torch-TensorRT have the names that docs/tensorrt.py uses.

    python3 check_names.py WHEELS

WHEELS holds the unpacked wheels torch_tensorrt and tensorrt_cu13_bindings. Neither can be imported
without CUDA, so names of torch_tensorrt are looked up in its syntax trees, with the parameters of
calls, and names of the compiled tensorrt among the strings of its module. Also compiles the file, and
reports names in it that are used but never defined. Exits 1 if one is missing.
"""
import ast
import builtins
import glob
import os
import sys

PAGE = os.path.join(os.path.dirname(__file__), "../../../docs/tensorrt.py")


def main():
    wheels = sys.argv[1]
    with open(PAGE, encoding="utf-8") as file:
        tree = ast.parse(file.read())
    modules = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {(name.asname or name.name): name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules |= {(n.asname or n.name): f"{node.module}.{n.name}" for n in node.names}
    missing = undefined(tree)
    [compiled] = glob.glob(f"{wheels}/tensorrt*/tensorrt*.so") or [None]
    if compiled is None:
        sys.exit(f"error: no compiled module of tensorrt in {wheels}")
    with open(compiled, "rb") as file:
        strings = file.read()

    checked = 0
    for node in ast.walk(tree):
        name = dotted(node, modules)
        if name and name.startswith("torch_tensorrt."):
            checked += 1
            if find(wheels, name) is None:
                missing.append(name)
        if isinstance(node, ast.Call) and (callee := dotted(node.func, modules)):
            if callee.startswith("torch_tensorrt.") and (found := find(wheels, callee)):
                names = parameters(found)
                missing += [
                    f"{callee}({word.arg}=)" for word in node.keywords if word.arg not in names]
    for name in sorted(native_names(tree, modules)):
        checked += 1
        if name.encode() not in strings:
            missing.append(f"tensorrt: {name}")
    for name in missing:
        print(f"FAIL {name} is missing")
    print(f"{'FAIL' if missing else 'ok  '} docs/tensorrt.py: {checked} names of"
          f" {', '.join(sorted(os.path.basename(p) for p in glob.glob(wheels + '/*.dist-info')))}")
    sys.exit(bool(missing))


def dotted(node, modules):
    """`a.b.c` with what `a` was imported as; None for other expressions."""
    if isinstance(node, ast.Name):
        return modules.get(node.id)
    if isinstance(node, ast.Attribute) and (start := dotted(node.value, modules)):
        return f"{start}.{node.attr}"
    return None


def native_names(tree, modules):
    """Names of tensorrt, and the methods that are called on objects of its types."""
    names = set()
    for node in ast.walk(tree):
        name = dotted(node, modules)
        if name and name.startswith("tensorrt."):
            names |= set(name.split(".")[1:])
    # What these variables hold comes from tensorrt; other attributes are Python's or torch's.
    owners = {"engine", "context", "refitter", "parser", "RUNTIME"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            value = node.value
            owner = value.id if isinstance(value, ast.Name) else getattr(value, "attr", None)
            if owner in owners:
                names.add(node.attr)
    return names


def find(wheels, name, depth=0):
    """The definition of a dotted name in the syntax trees of a wheel; an import is followed."""
    words = name.split(".")
    for count in range(len(words), 0, -1):
        base = os.path.join(wheels, *words[:count])
        path = next((p for p in (f"{base}.py", f"{base}/__init__.py") if os.path.exists(p)), None)
        if path is None:
            continue
        if count == len(words):
            return ast.Module([], [])
        module = ".".join(words[:count])
        return member(wheels, path, module, words[count:], depth)
    return None


def member(wheels, path, module, words, depth):
    with open(path, encoding="utf-8") as file:
        tree = ast.parse(file.read())
    stars = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name == words[0]:
            return node
        if isinstance(node, ast.ImportFrom) and node.module and depth < 8:
            for alias in node.names:
                if (alias.asname or alias.name) == words[0]:
                    target = ".".join([node.module, alias.name, *words[1:]])
                    return find(wheels, target, depth + 1)
                if alias.name == "*":
                    stars.append(node.module)
    for star in stars:
        if found := find(wheels, ".".join([star, *words]), depth + 1):
            return found
    return None


def parameters(node):
    if isinstance(node, ast.ClassDef):
        node = next(
            (n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
    if not isinstance(node, ast.FunctionDef):
        return set()
    arguments = node.args
    return {a.arg for a in arguments.posonlyargs + arguments.args + arguments.kwonlyargs}


def undefined(tree):
    """Names that are read somewhere in the file and defined nowhere in it."""
    defined = set(dir(builtins))
    used = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            defined.add(node.name)
        elif isinstance(node, ast.arg):
            defined.add(node.arg)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            defined |= {name.asname or name.name for name in node.names}
        elif isinstance(node, ast.Name):
            (used if isinstance(node.ctx, ast.Load) else defined).add(node.id)
    return sorted(f"the definition of {name}" for name in used - defined)


if __name__ == "__main__":
    main()
