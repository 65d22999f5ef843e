import ModelFormats
import TestSupport
import Testing

@Suite struct PickleTests {
  static let cases = PickleCase.all(in: Fixtures.path("formats/pickles.json"))

  @Test func casesAreThere() {
    #expect(PickleTests.cases.count == 118)
  }

  @Test(arguments: cases)
  func valueIsPythons(_ expected: PickleCase) throws {
    let pickle = try runPickle(expected.bytes)
    #expect(pickle.text == expected.text)
    #expect(pickle.byteCount == expected.bytes.count)
  }

  /// Every pickle is rejected wherever it is truncated, and none crashes.
  @Test(arguments: cases)
  func truncatedPickleIsRefused(_ expected: PickleCase) throws {
    for count in stride(from: 0, to: min(expected.bytes.count, 200), by: 3) {
      #expect(throws: FormatError.self) { try runPickle(Array(expected.bytes[..<count])) }
    }
  }

  /// What Python would call or construct is kept as data.
  @Test(arguments: [
    ("cos\nsystem\n(S'id'\ntR.", "os.system('id')"),
    ("(S'id'\nios\nsystem\n.", "os.system('id')"),
    ("(cos\nsystem\nS'id'\no.", "os.system('id')"),
    ("\u{8C}\u{02}os\u{8C}\u{06}system\u{93})R.", "os.system()"),
    ("cm\nC\n)\u{81}}(S'a'\nI1\nub.", "new m.C()<{'a': 1}>"),
    ("cm\nC\n)}\u{92}.", "new m.C()"),
    ("cm\nC\n)}S'a'\nI1\ns\u{92}.", "new m.C()<{'a': 1}>"),
    ("ccopy_reg\n__newobj__\n(cm\nC\nI1\ntR.", "new m.C(1)"),
    ("ccopyreg\n__newobj_ex__\n(cm\nC\n)}S'a'\nI1\nstR.", "new m.C()<{'a': 1}>"),
    ("cm\nC\n)\u{81}(I1\nI2\neS'k'\nI3\ns.", "new m.C()[1, 2]{'k', 3}"),
    ("cm\nC\n)R(I1\n\u{90}.", "m.C()[1]"),
    ("\u{82}\u{05}.", "copyreg.extension 5"),
    ("P17\n.", "persistent '17'"),
    ("(I1\ntQ.", "persistent (1)"),
    ("ccollections\nOrderedDict\n)R}S'_metadata'\nI1\nsb.", "{}"),
    ("ccollections\nOrderedDict\nK\u{01}\u{85}R.", "collections.OrderedDict(1)"),
    ("c_codecs\nencode\n(V\\u00e9\u{0A}S'latin1'\ntR.", "be9"),
  ])
  func nothingIsCalled(text: String, expected: String) throws {
    // Each scalar of the text is one byte.
    let bytes = text.unicodeScalars.map { UInt8($0.value) }
    #expect(try runPickle(bytes).text == expected)
  }

  @Test func cycleIsKept() throws {
    let pickle = try runPickle(pickle("]", 0x94, "h", 0, "a."))
    let root = try #require(pickle.node(pickle.root))
    guard case .node(let inner)? = root.items.first, case .node(let outer) = pickle.root else {
      Issue.record("the list does not hold a node")
      return
    }
    #expect(inner == outer)
  }

  @Test(
    arguments: [
      ("unknown instruction", pickle(0xFF), "unknown pickle opcode 0xff", 0),
      (
        "future protocol", pickle(0x80, 6, "N."),
        "unsupported pickle protocol 6 (maximum 5)", 0
      ),
      ("nothing to stop with", pickle("."), "pickle stack underflow", 0),
      ("taking below a mark", pickle("N(."), "pickle stack underflow", 2),
      ("no mark", pickle("Nt."), "the pickle has no mark to return to", 1),
      ("key without value", pickle("}(Nu."), "a dictionary is given a key without a value", 3),
      ("item of no list", pickle("NNa."), "cannot append items: the target is not a list", 2),
      (
        "item of a dictionary", pickle("}Na."), "cannot append items: the target is not a list", 2
      ),
      (
        "key of no dictionary", pickle("NNNs."), "cannot set items: the target is not a dictionary",
        3
      ),
      ("key of a list", pickle("]NNs."), "cannot set items: the target is not a dictionary", 3),
      ("key of a tuple", pickle(")NNs."), "cannot set items: the target is not a dictionary", 3),
      (
        "item of no set", pickle("N(N", 0x90, "."), "cannot add items: the target is not a set", 3
      ),
      (
        "not memorised", pickle("h", 9, "."), "memo entry 9 was never set",
        0
      ),
      ("memo index", pickle("Np-1\n."), "a memo index is not a number", 1),
      ("call without tuple", pickle("cm\nC\nNR."), "the arguments of a call are not a tuple", 6),
      (
        "instance without tuple", pickle("cm\nC\nN", 0x81, "."),
        "the arguments of a call are not a tuple",
        6
      ),
      (
        "class named by None", pickle("NN", 0x93, "."),
        "a class name is not a string", 2
      ),
      ("object without class", pickle("(o."), "an object has no class", 1),
      (
        "state of a tuple", pickle(")Nb."), "cannot set a state: the target is not an object", 2
      ),
      ("state of None", pickle("NNb."), "cannot set a state: the target is not an object", 2),
      ("number", pickle("Fx\n."), "invalid number", 0),
      ("integer", pickle("Ix\n."), "an integer is not a number of at most 128 digits", 0),
      ("string", pickle("S'x\n."), "invalid string literal", 0),
      ("escape", pickle("V\\u12\n."), "invalid string literal", 0),
      ("text", pickle("X", 1, 0, 0, 0, 0xFF, "."), "a string is not UTF-8", 0),
      (
        "long integer text", pickle("L" + String(repeating: "9", count: 129) + "L\n."),
        "an integer is not a number of at most 128 digits", 0
      ),
      ("buffer outside", pickle(0x97, "."), "the pickle uses out-of-band buffers", 0),
      (
        "string beyond the end", pickle("X", 0xFF, 0xFF, 0xFF, 0xFF, "."),
        "the pickle ends early: needs 4294967295 bytes, but only 1 remain", 5
      ),
      (
        "string of 2^64 - 1", pickle(0x8D, [UInt8](repeating: 0xFF, count: 8), "."),
        "the pickle ends early: needs 9223372036854775807 bytes, but only 1 remain", 9
      ),
      (
        "string of negative length", pickle("T", 0xFF, 0xFF, 0xFF, 0xFF, "."),
        "the pickle has a negative length", 5
      ),
      (
        "number of negative length", pickle(0x8B, 0xFF, 0xFF, 0xFF, 0xFF, "."),
        "the pickle has a negative length", 5
      ),
      (
        "frame beyond the end", pickle(0x95, 9, 0, 0, 0, 0, 0, 0, 0, "."),
        "the pickle ends early: needs 9 bytes, but only 1 remain", 9
      ),
      ("endless line", pickle("cos\nsystem"), "the pickle ends inside a line", 4),
      (
        "recall beyond the memo", pickle("Nq", 0, "j", 0xFF, 0xFF, 0xFF, 0xFF, "."),
        "memo entry 4294967295 was never set", 3
      ),
      (
        "recall by a giant number", pickle("Ng99999999999999999999\n."),
        "a memo index is not a number", 1
      ),
      (
        "no STOP", pickle(0x80, 4, "N"), "the pickle ends early: needs 1 byte, but only 0 remain", 3
      ),
      (
        "no STOP after a frame", pickle(0x80, 4, 0x95, 1, 0, 0, 0, 0, 0, 0, 0, "N"),
        "the pickle ends early: needs 1 byte, but only 0 remain", 12
      ),
      (
        "taking what a call was to have", pickle("cm\nC\n(R."),
        "pickle stack underflow", 6
      ),
      (
        "bytes of 4 GiB", pickle("B", 0xFF, 0xFF, 0xFF, 0xFF, "x."),
        "the pickle ends early: needs 4294967295 bytes, but only 2 remain", 5
      ),
      (
        "number of 2 GiB", pickle(0x8B, 0xFF, 0xFF, 0xFF, 0x7F, "."),
        "the pickle ends early: needs 2147483647 bytes, but only 1 remain", 5
      ),
      (
        "list of pairs with one without a value", pickle("cm\nC\n)", 0x81, "(N", 0x90, "K."),
        "the pickle ends early: needs 1 byte, but only 0 remain", 12
      ),
      ("name that is no text", pickle("c", [0xFF], "\nx\n."), "a name is not UTF-8", 0),
    ] as [(String, [UInt8], String, Int)])
  func malformedPickleIsRefused(
    name: String, bytes: [UInt8], message: String, offset: Int
  ) throws {
    let error = try #require(throws: FormatError.self) { try runPickle(bytes) }
    #expect(error.message == message)
    #expect(error.offset == offset)
  }

  /// Integers longer than 64 bits are kept as bytes, whatever their use.
  @Test(arguments: [
    (pickle(0x8A, 0, "."), "0"), (pickle(0x8A, 1, 0x80, "."), "-128"),
    (
      pickle(0x8A, 9, [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0], "."),
      "18446744073709551615"
    ),
    (pickle(0x8A, 9, [UInt8](repeating: 0xFF, count: 9), "."), "-1"),
    (pickle(0x8A, 255, [UInt8](repeating: 0, count: 255), "."), "0"),
  ])
  func longIntegersDoNotOverflow(bytes: [UInt8], text: String) throws {
    #expect(try runPickle(bytes).text == text)
  }

  /// A protocol may be announced anywhere and twice: Python reads it so, and nothing depends on it.
  @Test func protocolTwiceIsRead() throws {
    #expect(try runPickle(pickle(0x80, 2, "N", 0x80, 4, "0", 0x88, ".")).text == "True")
  }

  /// A memo entry with a huge index takes one slot, not four billion.
  @Test func giantMemoIndexCostsNothing() throws {
    let bytes = pickle("K", 7, "r", 0xFF, 0xFF, 0xFF, 0xFF, "0j", 0xFF, 0xFF, 0xFF, 0xFF, ".")
    #expect(try runPickle(bytes).text == "7")
  }

  @Test func memoKeepsItsOrder() throws {
    // Index 1 before 0, as no writer does; MEMOIZE uses the number of entries.
    let bytes = pickle("K", 5, "q", 1, "K", 6, 0x94, "K", 7, "q", 0, "h", 0, "h", 1, "\u{87}.")
    let error = #expect(throws: FormatError.self) { try runPickle(bytes) }
    #expect(error?.message == "unknown pickle opcode 0xc2")
    let sound = pickle("K", 5, "q", 1, "K", 6, 0x94, "K", 7, "q", 0, "h", 0, "h", 1, 0x86, ".")
    #expect(try runPickle(sound).text == "(7, 6)")
  }

  /// Values doubled repeatedly by reference stay as small as written.
  @Test func doublingByReferenceCostsNothing() throws {
    var bytes = pickle("(K", 1, "t", 0x94)
    for index in 0..<200 { bytes += pickle("h", index, "2", 0x86, 0x94) }
    let pickle = try runPickle(bytes + pickle("."))
    #expect(pickle.nodes.count == 201)
  }

  /// At the limit, and one beyond.
  @Test(arguments: [
    ("instructions", 1000, pickle([UInt8](repeating: 0x4E, count: 999), "."), 999),
    ("stack", 999, pickle([UInt8](repeating: 0x4E, count: 999), "."), 998),
    // 10 nodes of 100 bytes, each appended to a list for 72, and the list.
    ("memory", 10 * 172 + 100, pickle("](", String(repeating: "]", count: 10), "e."), 1819),
    ("memory", 3 * 48, pickle("N", [0x94, 0x94, 0x94], "."), 143),
    ("memory", 200, pickle("Nq", 7, "."), 199),
    ("memory", 100 + 2 * 160, pickle("}NNs."), 419),
    ("bytes", 6, pickle("N0N0N."), 5),
  ])
  func budgetsHold(name: String, enough: Int, bytes: [UInt8], tooLittle: Int) throws {
    func limits(_ value: Int) -> PickleMachine.Limits {
      var limits = PickleMachine.Limits()
      switch name {
      case "instructions": limits.instructions = value
      case "stack": limits.stack = value
      case "bytes": limits.bytes = value
      default: limits.memory = value
      }
      return limits
    }
    #expect(throws: Never.self) { try runPickle(bytes, limits: limits(enough)) }
    #expect(throws: FormatError.self) { try runPickle(bytes, limits: limits(tooLittle)) }
  }

  @Test func limitsHold() throws {
    var limits = PickleMachine.Limits()
    limits.stack = 100
    limits.memory = 12000
    limits.bytes = 1000
    limits.instructions = 500
    let many = { (text: String, count: Int) in Array(String(repeating: text, count: count).utf8) }
    for (bytes, message) in [
      (many("N", 101), "the pickle's stack grows beyond 100 values"),
      (many("(", 101), "the pickle has too many marks"),
      (many("]0", 121), "the unpickled object needs more than 12000 bytes of memory"),
      (many("N", 1) + [UInt8](repeating: 0x94, count: 301), "needs more than"),
      (many("N0", 251), "the pickle has more than 500 instructions"),
      (
        pickle("X", 0xE8, 3, 0, 0) + many("x", 1000),
        "the pickle ends early: needs 1000 bytes, but only 995 remain"
      ),
    ] {
      let error = try #require(throws: FormatError.self) { try runPickle(bytes, limits: limits) }
      #expect(error.message.contains(message))
    }
  }

  /// A list copied repeatedly by calls would grow a small pickle without bound.
  @Test func copyingIsBounded() throws {
    // A list of 1000 items, then sets of it, repeatedly.
    var bytes = pickle("](", [UInt8](repeating: UInt8(ascii: "N"), count: 1000), "e", 0x94)
    bytes += pickle("c__builtin__\nset\n", 0x94)
    for _ in 0..<2000 { bytes += pickle("h", 1, "h", 0, 0x85, "R0") }
    let error = try #require(throws: FormatError.self) { try runPickle(bytes + pickle(".")) }
    #expect(
      error.message == "the unpickled object needs more than \(40 << 20) bytes of memory")
    // After 1022 bytes: a copy of 7 bytes is counted with 28,228, the list with 72,000; the sixth
    // byte of the copy that is too much makes it.
    #expect(error.offset == 1022 + 7 * (((40 << 20) - 72_454) / 28_228) + 5)
  }

  @Test(arguments: [
    ("os", "system"), ("posix", "popen"), ("nt", "system"), ("subprocess", "Popen"),
    ("builtins", "eval"), ("__builtin__", "exec"), ("builtins", "__import__"),
    ("builtins", "getattr"), ("runpy", "run_path"), ("socket", "create_connection"),
    ("urllib.request", "urlopen"), ("webbrowser", "open"), ("shutil", "rmtree"), ("sys", "exit"),
    ("pickle", "loads"), ("torch", "load"), ("torch.hub", "load"), ("marshal", "loads"),
    ("operator", "attrgetter"), ("importlib", "import_module"), ("pty", "spawn"),
    ("functools", "partial"), ("_functools", "partial"), ("asyncio.unix_events", "x"),
    ("code", "InteractiveInterpreter"), ("ctypes", "CDLL"), ("ctypes.util", "find_library"),
    ("numpy.testing._private.utils", "runstring"), ("numpy.f2py.crackfortran", "x"),
    ("torch.serialization", "load"),
    ("torch.jit", "load"), ("torch._dynamo.guards", "x"), ("logging.config", "listen"),
    ("cProfile", "run"), ("doctest", "debug_script"), ("pdb", "run"), ("timeit", "timeit"),
    ("trace", "Trace"), ("bdb", "Bdb"), ("pip._internal", "main"), ("ensurepip", "bootstrap"),
    ("venv", "create"), ("idlelib.run", "x"), ("lib2to3.pgen2", "x"), ("pydoc", "pipepager"),
    ("distutils.file_util", "write_file"), ("types", "CodeType"), ("io", "FileIO"),
    ("requests.api", "get"), ("httplib", "HTTPSConnection"), ("aiohttp.client", "x"),
    ("commands", "getoutput"), ("dill", "loads"), ("joblib", "load"), ("sqlite3", "connect"),
    ("uuid", "_get_command_stdout"), ("_pyrepl.pager", "pipe_pager"), ("multiprocessing", "x"),
    // Names that reach other modules through objects.
    ("logging", "os.system"), ("numpy", "sys.modules"), ("collections", "abc.sys.exit"),
    ("collections", "OrderedDict.__class__.__subclasses__"), ("torch", "hub.load"),
    ("builtins", "getattr.__globals__"), ("argparse", "_os.system"), ("random", "_os"),
    ("tokenize", "_builtin_open"), ("my.os", "system"), ("vendor", "deep.sys.modules"),
    ("posixpath.os", "path"), ("vendor", "run_string"),
  ])
  func dangerousNamesAreKnown(module: String, name: String) {
    #expect(Pickle.Global(module: module, name: name).danger != nil)
  }

  /// A name of 200,000 parts is checked once, not in every piece; found by fuzzing.
  @Test func longNameIsLookedAtOnce() {
    let name = String(repeating: "a.", count: 200_000)
    // No ordinary name has so many parts.
    #expect(Pickle.Global(module: "m", name: name).danger != nil)
    #expect(
      Pickle.Global(module: "m", name: String(repeating: "a.", count: 20) + "b").danger == nil)
    #expect(Pickle.Global(module: "m", name: name + "os.system").danger != nil)
  }

  @Test(arguments: [
    ("collections", "OrderedDict"), ("torch._utils", "_rebuild_tensor_v2"),
    ("torch", "FloatStorage"), ("builtins", "set"), ("numpy.core.multiarray", "scalar"),
    ("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint"), ("_codecs", "encode"),
    ("torch.nn.modules.linear", "Linear"), ("torch.serialization", "_get_layout"),
    ("torch.jit._pickle", "build_intlist"), ("pathlib", "PosixPath"), ("operator", "add"),
    ("builtins", "type"), ("types", "SimpleNamespace"), ("osmosis", "x"),
    ("omegaconf.dictconfig", "DictConfig"), ("argparse", "Namespace"), ("datetime", "datetime"),
    ("numpy.random._pickle", "__randomstate_ctor"), ("uuid", "UUID"), ("", ""), ("a.", ".b"),
  ])
  func harmlessNamesRaiseNoAlarm(module: String, name: String) {
    #expect(Pickle.Global(module: module, name: name).danger == nil)
  }
}
