/// Text that is harmful as an argument: commands, code, addresses and names of harmful modules.
///
/// Only arguments of unknown callables are inspected.
enum SuspiciousText {
  /// The danger of passing this text to a callable; nil if it is harmless.
  static func danger(of text: String, givenTo callable: Pickle.Global) -> String? {
    if keepsTexts(callable) { return nil }
    let lowered = text.lowercased()
    if isName(text) { return "gets the name \(text)" }
    if addresses.contains(where: lowered.contains), opens(callable) {
      return "is called with an address"
    }
    if code.contains(where: lowered.contains) || isCall(text) { return "is called with code" }
    return isCommand(lowered) ? "is called with a command" : nil
  }

  /// Whether a callable is known to keep text as paths, patterns or names.
  private static func keepsTexts(_ callable: Pickle.Global) -> Bool {
    switch callable.module {
    case "pathlib", "pathlib._local": true
    case "re": callable.name == "_compile"
    case "logging": callable.name == "getLogger"
    default: false
    }
  }

  private static let addresses = ["http://", "https://", "ftp://", "file://", "\\\\"]

  /// Whether a callable's name suggests that it opens addresses; others may just store the text.
  private static func opens(_ callable: Pickle.Global) -> Bool {
    let last = callable.name.split(separator: ".").last ?? ""
    var words: [String] = [""]
    for character in last {
      if character == "_" || character.isUppercase && words.last?.last?.isLowercase == true {
        words.append("")
      }
      if character != "_" { words[words.count - 1] += character.lowercased() }
    }
    return words.contains { word in
      verbs.contains(word) || stems.contains { word.hasPrefix($0) || word.hasSuffix($0) }
    }
  }

  private static let verbs: Set<String> = [
    "get", "read", "post", "put", "send", "pull", "call", "run", "import", "connect", "http",
    "curl",
    "wget", "clone", "install", "stream",
  ]
  private static let stems = ["open", "load", "fetch", "request", "download", "retrieve", "upload"]

  private static let code = [
    "__import__", "__builtins__", "__globals__", "__subclasses__", "import os", "import sys",
    "import subprocess", "import socket", "os.system", "os.popen", "subprocess.", "eval(", "exec(",
    "compile(", "getattr(", "lambda ", "lambda:",
  ]

  private static let programs: Set<Substring> = [
    "sh", "bash", "zsh", "dash", "cmd", "cmd.exe", "powershell", "powershell.exe", "python",
    "python2",
    "python3", "perl", "ruby", "node", "curl", "wget", "nc", "ncat", "netcat", "telnet", "ssh",
    "scp",
    "rm", "mv", "cp", "cat", "echo", "touch", "chmod", "chown", "kill", "mkfifo", "sudo", "crontab",
    "ls", "dd", "tee", "base64", "whoami", "uname", "env", "printenv", "calc", "calc.exe", "xcalc",
    "open", "find", "xdg-open", "nslookup", "dig", "ping", "certutil", "rundll32", "mshta",
    "wscript",
  ]

  /// Programs that are also English words: "cat food" is not a command.
  private static let ordinary: Set<Substring> = [
    "cat", "open", "node", "kill", "touch", "echo", "env", "python", "find", "perl", "ruby", "dash",
    "ping", "dig", "tee", "calc",
  ]

  /// Whether a word is a program argument: a path, an option or shell syntax.
  private static func isArgument(_ word: Substring) -> Bool {
    if word.hasPrefix("-"), word.dropFirst().first?.isLetter == true || word.hasPrefix("--") {
      return true
    }
    return word.contains { "/\\|&;<>$`*~".contains($0) }
  }

  /// A program with its arguments or its path, or shell syntax.
  private static func isCommand(_ text: String) -> Bool {
    let words = text.split(whereSeparator: \.isWhitespace)
    guard let first = words.first else { return false }
    let program = first.split(separator: "/").last ?? first
    if programs.contains(program) {
      if first.hasPrefix("/") { return true }
      let arguments = words.dropFirst()
      if ordinary.contains(program)
        ? arguments.contains(where: isArgument) : !arguments.isEmpty
      {
        return true
      }
    }
    if ["whoami", "xcalc", "calc.exe", "cmd.exe"].contains(String(program)), words.count == 1 {
      return true
    }
    return ["$(", "`", "&& ", "; ", "| "].contains { sign in
      guard let range = text.firstRange(of: sign) else { return false }
      let next = text[range.upperBound...].split { $0.isWhitespace || $0 == ")" || $0 == "`" }.first
      return next.map { programs.contains($0.split(separator: "/").last ?? $0) } ?? false
    }
  }

  /// A name and arguments in parentheses with nothing around them: `print("ran")`.
  private static func isCall(_ text: String) -> Bool {
    guard text.hasSuffix(")"), let open = text.firstIndex(of: "("), open > text.startIndex else {
      return false
    }
    return text[..<open].unicodeScalars.allSatisfy {
      $0 == "_" || $0 == "." || $0.properties.isAlphabetic || ("0"..."9").contains($0)
    } && ["\"", "'"].contains { text[open...].contains($0) }
  }

  /// The name of a harmful module or function, as accepted by `importlib.import_module`.
  private static func isName(_ text: String) -> Bool {
    guard text.utf8.count <= 256 else { return false }
    if modules.contains(text) { return true }
    // As in pkgutil's syntax, `os:system`.
    guard let separator = text.lastIndex(where: { $0 == "." || $0 == ":" }),
      text.unicodeScalars.allSatisfy({
        $0 == "_" || $0 == "." || $0 == ":" || $0.properties.isAlphabetic
          || ("0"..."9").contains($0)
      })
    else { return false }
    let module = String(text[..<separator].map { $0 == ":" ? "." : $0 })
    guard !module.isEmpty else { return false }
    // Module names are also file names: `profile.json`, `trace.txt`.
    let first = String(module.split(separator: ".").first ?? "")
    let last = String(text[text.index(after: separator)...])
    return modules.contains(first) || DangerousGlobals.isFunction(last)
  }

  private static let modules: Set<String> = [
    "os", "posix", "nt", "sys", "subprocess", "builtins", "__builtin__", "ctypes", "socket",
    "shutil",
    "pty", "importlib", "runpy",
  ]
}
