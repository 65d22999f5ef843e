import ModelFormats
import TestSupport
import Testing

/// Ways to hide from a scan what Python runs: through other functions' calls, through readers that
/// see another archive, through values beyond what is remembered.
extension SafetyTests {
  private static func text(_ value: String) -> [UInt8] {
    [UInt8(ascii: "X")] + littleEndian(UInt32(value.utf8.count)) + Array(value.utf8)
  }

  private static func bytes(_ value: [UInt8]) -> [UInt8] {
    [UInt8(ascii: "B")] + littleEndian(UInt32(value.count)) + value
  }

  private static let command = Array("cos\nsystem\n(S'id'\ntR.".utf8)
  private static let load = "ctorch.storage\n_load_from_bytes\n"
  private static let object = Array("cargparse\nNamespace\n".utf8) + [0x29, 0x81, 0x7D]
  private static let encoded = TestSupport.pickle(
    "c_codecs\nencode\n(", text("cos\nsystem\n(S'id'\ntR."), text("latin1"), "tR")

  /// A name that no program would write, and then the attack.
  private static let longName = TestSupport.pickle(
    "N0", 0x80, 4, text("builtins"), text("object" + String(repeating: ".__class__", count: 60)),
    0x93,
    "0", command)

  static let handed: [[UInt8]] = {
    var files: [[UInt8]] = []
    // As an attribute that Python calls by its name.
    files.append(
      TestSupport.pickle(
        0x80, 4, object, text("__setstate__"), load, "sb", bytes(command), "b."))
    files.append(
      TestSupport.pickle(
        0x80, 4, "ctorch._tensor\n_rebuild_from_type_v2\n(ctorch.jit._pickle\nbuild_intlist\n",
        encoded, object, text("as_subclass"), load, "sb", 0x85, "}tR."))
    // As a tuple, a list, a set, a dictionary, a state, keywords, a persistent identifier.
    files.append(TestSupport.pickle(0x80, 4, load, 0x85, "."))
    files.append(TestSupport.pickle(0x80, 4, "]", load, "a."))
    files.append(TestSupport.pickle(0x80, 4, "](", [UInt8](repeating: 0x4E, count: 40), load, "e."))
    files.append(TestSupport.pickle(0x80, 4, 0x8F, "(", load, 0x90, "."))
    files.append(TestSupport.pickle(0x80, 4, "(", load, 0x91, "."))
    files.append(TestSupport.pickle(0x80, 4, "(N", load, "d."))
    files.append(TestSupport.pickle(0x80, 4, "}(N", load, "u."))
    files.append(TestSupport.pickle(0x80, 4, "}N", load, "s."))
    files.append(TestSupport.pickle(0x80, 4, object, load, "b."))
    files.append(TestSupport.pickle(0x80, 4, "cargparse\nNamespace\n)", load, 0x92, "."))
    files.append(
      TestSupport.pickle(0x80, 4, "(", text("module"), load, "NNtQ", 0x28, encoded, "tR."))
    files.append(TestSupport.pickle(0x80, 4, "ccollections\ndefaultdict\n(", load, "tR."))
    return files
  }()

  /// Functions that are judged by their arguments must not be called with hidden arguments.
  @Test(arguments: handed)
  func handedOnLoadIsDangerous(_ bytes: [UInt8]) {
    #expect(SafetyTests.safety(bytes).verdict == .dangerous)
  }

  @Test(arguments: [
    ("_codecs", "encode"), ("copyreg", "_reconstructor"), ("copyreg", "__newobj__"),
    ("copyreg", "__newobj_ex__"), ("torch._tensor", "_rebuild_from_type_v2"),
    ("torch.jit._pickle", "build_intlist"),
  ])
  func handedOnCallableIsUnknown(module: String, name: String) {
    let safety = SafetyTests.safety(
      SafetyTests.pickle(naming: Pickle.Global(module: module, name: name)))
    #expect(safety.verdict == .unknown)
    #expect(safety.names.map(\.name) == ["\(module).\(name)"])
  }

  static let untold: [[UInt8]] = {
    var files: [[UInt8]] = []
    // An instance of a known class; what a persistent identifier stands for; missing arguments.
    files.append(TestSupport.pickle(0x80, 4, "ctorch.nn.modules.module\nModule\n)", 0x81, ")R."))
    files.append(TestSupport.pickle(0x80, 4, "(", text("x"), "tQ)R."))
    files.append(TestSupport.pickle(0x80, 4, "P1\n)R."))
    files.append(TestSupport.pickle(0x80, 4, "ccopyreg\n_reconstructor\n)R."))
    files.append(TestSupport.pickle(0x80, 4, "ctorch.jit._pickle\nbuild_intlist\n)R."))
    files.append(TestSupport.pickle(0x80, 4, "ctorch._tensor\n_rebuild_from_type_v2\n(NNtR."))
    // An array over memory of the attacker's choice.
    files.append(TestSupport.pickle(0x80, 4, "cnumpy\nndarray\n(K", 1, 0x85, text("O"), "tR."))
    // More marks, values and memo entries than are remembered.
    files.append(
      TestSupport.pickle(
        0x80, 4, [UInt8](repeating: 0x28, count: 300_000), [UInt8](repeating: 0x30, count: 300_000),
        "N."))
    files.append(TestSupport.pickle(0x80, 4, [UInt8](repeating: 0x4E, count: 300_000), "."))
    files.append(TestSupport.pickle(0x80, 4, "N", [UInt8](repeating: 0x94, count: 600_000), "."))
    // Compressed as joblib does.
    files.append([0x78, 0x9C] + ZipBuilder.deflate(command))
    files.append(Array("ZF0x1f               \u{1}\u{2}".utf8))
    files.append([0x5D, 0, 0, 0x80, 0] + [UInt8](repeating: 0xFF, count: 8) + [0, 1, 2, 3])
    files.append([0x04, 0x22, 0x4D, 0x18, 0x40])
    return files
  }()

  /// If it is uncertain what Python would see, no file is called safe.
  @Test(arguments: untold.indices)
  func whatCannotBeToldIsUnknown(_ index: Int) {
    let safety = SafetyTests.safety(SafetyTests.untold[index])
    #expect(safety.verdict == .unknown, "\(safety)")
  }

  private static func array(_ type: String, _ values: [UInt8]) -> [UInt8] {
    let header = Array("{'descr': \(type), 'fortran_order': False, 'shape': (1,), }\n".utf8)
    return [0x93] + Array("NUMPY".utf8) + [1, 0] + littleEndian(UInt16(header.count)) + header
      + values
  }

  /// Any way in which a header can declare objects in an array.
  @Test(arguments: [
    "'|O'", "'object'", "'\\x4f'", "'obj' 'ect'", "'''obj''' u'ect'", "'obj'#,\n'ect'",
  ])
  func arrayOfObjectsByAnyNameIsRead(_ type: String) {
    for attack in [SafetyTests.command, SafetyTests.longName] {
      let bytes = SafetyTests.array(type, attack)
      #expect(SafetyTests.safety(bytes).dangerous.map(\.name).contains("os.system"))
    }
  }

  /// As `numpy.savez_compressed` writes numbers, however many.
  @Test func arraysOfNumbersAreSafe() {
    for type in ["'<f4'", "[('a', '<f4'), ('b', '<i8')]"] {
      let array = SafetyTests.array(type, [UInt8](repeating: 7, count: 60_000))
      #expect(SafetyTests.safety(array).verdict == .safe)
      // 700 blocks of zeros, more than is unpacked for one record.
      var stream = ZipBuilder.deflate(array)
      stream[0] = 0
      var block = ZipBuilder.deflate([UInt8](repeating: 0, count: 60_000))
      block[0] = 0
      for _ in 0..<700 { stream += block }
      stream += ZipBuilder.deflate([0])
      var record = ZipBuilder.Record("a.npy", stream)
      record.method = 8
      record.size = 701 * 60_000
      #expect(SafetyTests.safety(ZipBuilder([record]).bytes).verdict == .safe)
    }
  }

  /// Any of the first pickles of the old format, whatever their memo indices.
  @Test(arguments: ["p 0", "p+0", "p0_0", "p0\r", "p\t00"])
  func pickleBehindOddIndexIsRead(_ put: String) {
    let magic = TestSupport.pickle(
      0x80, 2, [0x8A, 10, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19], ".")
    let pickle = TestSupport.pickle(0x80, 2, "N", put, "\n0", SafetyTests.command)
    #expect(SafetyTests.safety(magic + pickle).dangerous.map(\.name) == ["os.system"])
    // A fault in one of them is reported.
    #expect(SafetyTests.safety(magic + TestSupport.pickle(0x80, 2, 0xFF)).verdict == .unknown)
  }

  static let archives: [[UInt8]] = {
    var files: [[UInt8]] = []
    files.append(longName)
    files.append(ZipBuilder([.init("archive/data.pkl", longName)]).bytes)
    // A record where values are, which NumPy reads; a record without contents before it, and no
    // directory; an end record far from the end.
    files.append(
      ZipBuilder([.init("data.pkl", [0x4E, 0x2E]), .init("data/x.npy", array("'O'", command))])
        .bytes)
    let whole = ZipBuilder([.init("archive/", []), .init("archive/data.pkl", command)]).bytes
    files.append(Array(whole.dropLast(30)))
    files.append(whole + [UInt8](repeating: 0, count: 67_000))
    // Tar as it was before ustar, without a name, with its size in binary.
    for change in 0..<3 {
      var tar = TarTests.member("x.pkl", command)
      if change == 0 { tar.replaceSubrange(257..<265, with: [UInt8](repeating: 0, count: 8)) }
      if change == 1 { tar[0] = 0 }
      if change == 2 {
        tar.replaceSubrange(
          124..<136, with: [0x80] + [UInt8](repeating: 0, count: 10) + [UInt8(command.count)])
      }
      tar.replaceSubrange(148..<156, with: [UInt8](repeating: 0x20, count: 8))
      let digits = String(tar[..<512].reduce(0) { $0 + Int($1) }, radix: 8)
      tar.replaceSubrange(148..<(148 + digits.utf8.count), with: digits.utf8)
      tar[154] = 0
      files.append(tar)
    }
    // A directory that gives a size has no contents.
    files.append(
      TarTests.member("d", [], size: "1000", type: 0x35) + TarTests.member("x.pkl", command))
    return files
  }()

  /// What Python finds in an archive, whatever its structure.
  @Test(arguments: archives.indices)
  func attackInOddArchiveIsTold(_ index: Int) {
    let safety = SafetyTests.safety(SafetyTests.archives[index])
    #expect(safety.dangerous.map(\.name).contains("os.system"), "\(safety)")
  }

  /// Two archives in a file; readers differ in which they read.
  @Test func recordsOfBothDirectoriesAreRead() {
    let plain = ZipBuilder([.init("a.npy", SafetyTests.array("'<f4'", [0, 0, 0, 0]))]).bytes
    let attack = ZipBuilder([.init("a.npy", SafetyTests.array("'O'", SafetyTests.command))]).bytes
    #expect(SafetyTests.safety(plain + attack).verdict == .dangerous)
    #expect(SafetyTests.safety(attack + plain).verdict == .dangerous)
  }

  /// Hundreds of names for one record are read once.
  @Test func overlappingRecordsAreReadOnce() {
    let body = TestSupport.pickle(0x80, 4, [UInt8](repeating: 0x88, count: 200_000), ".")
    var records = [ZipBuilder.Record("000000", body)]
    for index in 1..<500 {
      var record = ZipBuilder.Record(String(100_000 + index), [])
      record.headerOffset = 0
      record.centralCompressedSize = body.count
      records.append(record)
    }
    let bytes = ZipBuilder(records).bytes
    let time = ContinuousClock().measure { _ = SafetyTests.safety(bytes) }
    #expect(time < .seconds(5))
  }

  /// Ordinary programs' texts are neither commands nor addresses to be opened.
  @Test(arguments: ["cat food", "open source", "kill Bill", "echo", "https://example.org/x"])
  func ordinaryTextIsUnknown(_ text: String) {
    let safety = SafetyTests.safety(
      TestSupport.pickle(0x80, 4, "cvendor\nLabel\n", SafetyTests.text(text), 0x85, "R."))
    #expect(safety.verdict == .unknown, "\(safety)")
  }

  @Test(arguments: ["cat /etc/passwd", "touch ~/x", "kill -s 1", "echo x>y", "/bin/cat x"])
  func commandOfOrdinaryWordsIsDangerous(_ text: String) {
    let safety = SafetyTests.safety(
      TestSupport.pickle(0x80, 4, "cvendor\nLabel\n", SafetyTests.text(text), 0x85, "R."))
    #expect(safety.verdict == .dangerous, "\(safety)")
  }

  /// All names that CPython's unpickler looks up in random pickles are reported, except those of
  /// plain containers.
  @Test(.anyPython) func namesThatPythonAsksForAreTold() throws {
    let python = try #require(Tool.anyPython)
    let directory = try ScratchDirectory()
    let count = 400
    let script = Fixtures.path("../Tests/ModelFormatsTests/Oracle/pickle_names.py")
    let result = try Tool.launch(python, [script, directory.path, String(count), "14"])
    try #require(result.status == 0, "\(result.errors)")
    let known: Set = [
      "collections.OrderedDict", "builtins.set", "torch.storage._load_from_bytes",
      "torch.jit._pickle.build_intlist", "_codecs.encode", "numpy.ndarray",
    ]
    for index in 0..<count {
      let bytes = try directory.contents("\(index).pkl")
      let lines = String(decoding: try directory.contents("\(index).txt"), as: UTF8.self)
      let asked = Set(lines.split(separator: "\n").map(String.init)).subtracting(known)
      let safety = TensorFile.scan(MappedFile(contents: bytes, path: "\(index).pkl")).safety
      #expect(asked.isSubset(of: safety.names.map(\.name)), "\(bytes)")
      if !asked.isEmpty { #expect(safety.verdict > .safe) }
    }
  }
}
