"""Writes containers.pt, containers_legacy.pt and containers.json: tensors in objects of all kinds.

    python make_containers.py FOLDER

The JSON holds the SHA-256 of every tensor's values by the name that its place gives it; `storage` is a storage that no
tensor uses. Parameters are written as PyTorch before 0.4 wrote them, by a call, and as it does today.
"""
import argparse, dataclasses, hashlib, json, sys
from collections import ChainMap, Counter, OrderedDict, UserDict, UserList, defaultdict, deque, namedtuple
import torch
from torch import nn

folder = sys.argv[1]
torch.manual_seed(0)
expected, count = {}, 0


def T(name, *shape):
    global count
    count += 1
    tensor = torch.arange(1000 * count, 1000 * count + torch.Size(shape or (2,)).numel()).float().reshape(shape or (2,))
    expected[name] = hashlib.sha256(tensor.numpy().tobytes()).hexdigest()
    return tensor


class Called:
    """Pickled as a call of `callable` with a state."""

    def __init__(self, callable, *arguments, state=None):
        self.value = (callable, arguments) if state is None else (callable, arguments, state)

    def __reduce__(self):
        return self.value


class Ordered(OrderedDict): pass
class Dictionary(dict): pass
class Strings(list): pass
class Collection(set): pass
class Sub(torch.Tensor): pass
class Row(nn.Parameter): pass
Pair = namedtuple("Pair", "first second")


@dataclasses.dataclass
class Data:
    x: object
    y: object = None


@dataclasses.dataclass
class Slots:
    __slots__ = ("x", "y")
    x: object
    y: object


class Keywords:
    def __new__(cls, **keywords): return object.__new__(cls)
    def __init__(self, **keywords): self.keywords = keywords
    def __getnewargs_ex__(self): return (), self.keywords
    def __getstate__(self): return None


class State:
    def __init__(self, state): self.state = state
    def __getstate__(self): return self.state


class Module(nn.Module):
    def __init__(self, name):
        super().__init__()
        self.child = nn.Sequential(nn.Linear(1, 2))
        for key, value in self.child.state_dict().items():
            expected[f"{name}.child.{key}"] = hashlib.sha256(value.numpy().tobytes()).hexdigest()
        self.register_buffer("buffer", T(f"{name}.buffer"))
        self.plain = T(f"{name}.plain")
        self.listed = [T(f"{name}.listed.0"), self.child[0].weight]  # the second is no other tensor
        self.parameters_ = nn.ParameterList([nn.Parameter(T(f"{name}.parameters_.0"))])
        self.named = nn.ParameterDict({"a": nn.Parameter(T(f"{name}.named.a"))})


def with_attribute(tensor, name):
    tensor.extra = T(f"{name}.extra")
    return tensor


Parameter, Variable = nn.Parameter, torch.autograd.Variable
Variable.__module__ = "torch.autograd.variable"
torch.autograd.variable.Variable = Variable
objects = {
    "call": Called(Parameter, T("call"), True),
    "call_alone": Called(Parameter, T("call_alone")),
    "call_build": Called(Parameter, T("call_build"), state=(True, False, None)),
    "variable": Called(Variable, T("variable"), state=(True, False, OrderedDict())),
    "old_tensor": Called(torch.FloatTensor, state=(T("old_tensor", 4).storage(), 0, (4,), (1,))),
    "parameter": with_attribute(nn.Parameter(T("parameter")), "parameter"),
    "row": Row(T("row")), "buffer": nn.Buffer(T("buffer")),
    "subclass": with_attribute(T("subclass", 2, 2).as_subclass(Sub), "subclass"),
    "attribute": with_attribute(T("attribute", 3), "attribute"),
    "ordered": Ordered(a=T("ordered.a")), "dictionary": Dictionary(a=T("dictionary.a")), "list": Strings([T("list.0")]),
    "set": {T("set.0")}, "frozen": frozenset([T("frozen.0")]), "collection": Collection([T("collection.0.0")]),
    "default": defaultdict(list, a=T("default.a")), "counter": Counter({"a": T("counter.a")}),
    "deque": deque([T("deque.0"), T("deque.1")], maxlen=4),
    "namespace": argparse.Namespace(w=T("namespace.w"), inner=argparse.Namespace(v=T("namespace.inner.v"))),
    "data": Data(T("data.x"), Data(T("data.y.x"))), "slots": Slots(T("slots.x"), T("slots.y")),
    "pair": Pair(T("pair.0"), T("pair.1")), "user": UserDict(a=T("user.data.a")), "users": UserList([T("users.data.0")]),
    "chain": ChainMap({"a": T("chain.maps.0.a")}, {"b": T("chain.maps.1.b")}),
    "keywords": Keywords(w=T("keywords.w")), "state": State(T("state")), "states": State([T("states.0")]),
    "tuple_state": State((T("tuple_state.0"), T("tuple_state.1"))),
    "called": Called(Data, T("called.0"), [T("called.1.0")]),
    "key": {T("key.key 0"): 1}, "none": {"a": None, "b": [T("none.b.0"), {"c": (T("none.b.1.c.0"),)}]},
    "module": Module("module"),
    "storage": torch.arange(3).short().untyped_storage(),
}
torch.save(objects, f"{folder}/containers.pt", pickle_protocol=4)
torch.save(objects, f"{folder}/containers_legacy.pt", _use_new_zipfile_serialization=False)
with open(f"{folder}/containers.json", "w") as file:
    json.dump(expected, file, indent=1, sort_keys=True)
    file.write("\n")
