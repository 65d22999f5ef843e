import ModelFormats
import TestSupport
import Testing

/// What a scan follows, and distrusts if it cannot: results of calls and identifiers, NumPy's
/// types, other readers' view of an archive, and data after a file's first object.
extension SafetyTests {
  private static func text(_ value: String) -> [UInt8] {
    [UInt8(ascii: "X")] + littleEndian(UInt32(value.utf8.count)) + Array(value.utf8)
  }

  private static let namespace = "cargparse\nNamespace\n"
  private static let call = Array("cposix\nsystem\n(Vid\ntR0N.".utf8)

  private static func dtype(_ name: String, state: [UInt8]) -> [UInt8] {
    TestSupport.pickle(
      "cnumpy\ndtype\n", text(name), 0x89, 0x88, 0x87, "R(K", 3, text("|"), state, "tb")
  }

  private static let minusOnes: [UInt8] =
    [0x4A, 0xFF, 0xFF, 0xFF, 0xFF, 0x4A, 0xFF, 0xFF, 0xFF, 0xFF]

  static let unfollowed: [[UInt8]] = {
    let state = TestSupport.pickle("N}", text("dump_patches"), 0x88, "s", 0x86, "b")
    let objects = dtype("O8", state: TestSupport.pickle("NNN", minusOnes, "K", 63))
    var files: [[UInt8]] = []
    // A class from a call or from an identifier of a call's result, and its attributes.
    files.append(
      TestSupport.pickle(
        0x80, 2, "cnumpy._core.multiarray\nscalar\n", objects, namespace, 0x86, "R", state, "."))
    files.append(
      TestSupport.pickle(
        0x80, 2, "cbuiltins\ntuple\n((", text("module"), namespace, text(""), text(""), "ltRQ",
        state,
        "."))
    // The source of a class.
    files.append(
      TestSupport.pickle(
        0x80, 2, "(", text("module"), "ctorch.nn.modules.linear\nLinear\n", text("x"), text("y"),
        "tQ."))
    // Attributes that turn it into another object.
    files.append(
      TestSupport.pickle(0x80, 2, namespace, ")", 0x81, "N}", text("__dict__"), "}s", 0x86, "b."))
    // Addresses and sizes of memory.
    files.append(
      TestSupport.pickle(0x80, 4, "ctorch\nFloatTensor\n)}", text("cdata"), "K", 1, "s", 0x92, "."))
    files.append(
      TestSupport.pickle(
        0x80, 4, "ccopyreg\n__newobj_ex__\n(ctorch\nTensor\n)}", text("cdata"), "K", 1, "stR."))
    files.append(
      TestSupport.pickle(
        0x80, 2, "ctorch.nn.modules.linear\nLinear\nJ", [0, 0, 0, 1], "J", [0, 0, 0, 1], 0x86, "R.")
    )
    files.append(TestSupport.pickle(0x80, 2, "ctorch\nByteStorage\nK", 9, 0x85, "R."))
    // Types whose state does not show the objects in them, or has a field beyond the end.
    files.append(
      TestSupport.pickle(
        0x80, 2, dtype("O8", state: TestSupport.pickle("NNN", minusOnes, "K", 0)), "."))
    for (offset, flags) in [(0, 0), (4, 27)] {
      files.append(
        TestSupport.pickle(
          0x80, 2,
          dtype(
            "V8",
            state: TestSupport.pickle(
              "N", text("a"), 0x85, "}", text("a"), objects, "K", offset, 0x86, "sK", 8, "K", 1,
              "K",
              flags)), "."))
    }
    // A frame that goes on after the STOP.
    files.append(
      [0x80, 4, 0x95, 9, 0, 0, 0, 0, 0, 0, 0] + Array("K\u{1}.".utf8) + [1, 2, 3, 4, 5, 6])
    return files
  }()

  @Test(arguments: unfollowed.indices)
  func whatCannotBeFollowedIsUnknown(_ index: Int) {
    let safety = SafetyTests.safety(SafetyTests.unfollowed[index])
    #expect(safety.verdict == .unknown, "\(safety)")
  }

  /// As NumPy pickles a type of two fields.
  @Test func typeAsNumPyWritesItIsSafe() {
    let number = SafetyTests.dtype(
      "f4", state: TestSupport.pickle("NNN", SafetyTests.minusOnes, "K", 0))
    let objects = SafetyTests.dtype(
      "O8", state: TestSupport.pickle("NNN", SafetyTests.minusOnes, "K", 63))
    let fields = SafetyTests.dtype(
      "V12",
      state: TestSupport.pickle(
        "N", SafetyTests.text("a"), SafetyTests.text("b"), 0x86, "}(", SafetyTests.text("a"),
        objects,
        "K", 0, 0x86, SafetyTests.text("b"), number, "K", 8, 0x86, "uK", 12, "K", 1, "K", 27))
    let safety = SafetyTests.safety(TestSupport.pickle(0x80, 2, fields, "."))
    #expect(safety.verdict == .safe, "\(safety)")
  }

  /// In the tar format an identifier is its first value.
  @Test func nameOfIdentifiersIsDangerous() {
    let bytes = TestSupport.pickle(
      0x80, 4, "(", SafetyTests.text("posix"), SafetyTests.text("collections"), "tQ(",
      SafetyTests.text("system"), SafetyTests.text("OrderedDict"), "tQ", 0x93, ")R.")
    #expect(SafetyTests.safety(bytes).verdict == .dangerous)
  }

  /// Importing runs code.
  @Test func importWithoutCallIsTold() {
    #expect(
      SafetyTests.safety(Array("N0cantigravity\nfoo\n".utf8)).dangerous.map(\.name) == [
        "antigravity.foo"
      ])
    #expect(
      SafetyTests.safety(Array("cmy-module\nfoo\n.".utf8)).names.map(\.name) == ["my-module.foo"])
    #expect(SafetyTests.safety(Array("cos\nsystem\nand more\n".utf8)).verdict == .safe)
  }

  /// Deflate data that zlib rejects and other readers accept.
  @Test func damagedDeflateIsUnknown() {
    var record = ZipBuilder.Record("a/data.pkl", [5, 0xC0, 0x81, 0])
    record.method = 8
    record.size = 40
    #expect(SafetyTests.safety(ZipBuilder([record]).bytes).verdict == .unknown)
  }

  private static func array(_ type: String, _ values: [UInt8]) -> [UInt8] {
    let header = Array("{'descr': \(type), 'fortran_order': False, 'shape': (1,), }\n".utf8)
    return [0x93] + Array("NUMPY".utf8) + [1, 0] + littleEndian(UInt16(header.count)) + header
      + values
  }

  /// Other names for NumPy's object type, and data after an array.
  @Test func objectsBehindArraysAreTold() {
    #expect(SafetyTests.safety(SafetyTests.array("'T'", SafetyTests.call)).verdict == .dangerous)
    let plain = SafetyTests.array("'<f4'", [0xFF, 0xFF, 0, 0])
    let objects = SafetyTests.array("'|O'", SafetyTests.call)
    #expect(SafetyTests.safety(plain + plain + plain).verdict == .safe)
    #expect(SafetyTests.safety(plain + objects).verdict == .dangerous)
    let archive = ZipBuilder([.init("e.pkl", SafetyTests.call)]).bytes
    #expect(SafetyTests.safety(plain + archive).verdict == .dangerous)
    #expect(SafetyTests.safety(TarTests.member("x", [1]) + archive).verdict == .dangerous)
    #expect(SafetyTests.safety(TestSupport.pickle(0x80, 2, "}.") + objects).verdict == .dangerous)
  }

  /// A tar whose first member's name begins like a zip archive; links in place of PyTorch's
  /// members.
  @Test func oddTarIsNotSafe() {
    let named = TarTests.member("PK\u{3}\u{4}", []) + TarTests.member("x.pkl", SafetyTests.call)
    #expect(SafetyTests.safety(named).verdict == .dangerous)
    let link =
      TarTests.member("storages", [], type: 0x31)
      + TarTests.member("tensors", TestSupport.pickle(0x80, 2, "K", 0, "."))
    #expect(SafetyTests.safety(link).verdict == .unknown)
  }

  @Test(arguments: [
    ("a.pyw", "x", "Python source"), ("A.PY", "x", "Python source"),
    ("x", "#!/bin/sh\n", "a script"), ("x", "LZIP\u{1}", "lzip data"),
    ("x", "MSCF", "a CAB archive"),
    ("x.pth", "import os\n", "Python's lines of import"),
    ("x", String(repeating: " ", count: 512), "HDF5 data"),
  ])
  func codeIsNotLookedInto(name: String, text: String, what: String) {
    var bytes = Array(text.utf8)
    if what == "HDF5 data" { bytes += [0x89, 0x48, 0x44, 0x46, 0x0D, 0x0A, 0x1A, 0x0A] }
    for safety in [
      TensorFile.scan(MappedFile(contents: bytes, path: name)).safety,
      SafetyTests.safety(ZipBuilder([.init(name, bytes)]).bytes),
    ] {
      #expect(safety.verdict == .unknown)
      #expect(safety.notes.contains { $0.contains(what) }, "\(safety.notes)")
    }
  }

  /// Paths, patterns and names of loggers are texts.
  @Test(arguments: [
    ("pathlib", "PosixPath", "profile.json"), ("pathlib", "PurePosixPath", "os"),
    ("re", "_compile", "lambda (\\w+)"), ("logging", "getLogger", "torch.distributed.rpc"),
    ("vendor", "f", "trace.json"), ("vendor", "f", "wave.wav"),
  ])
  func namesOfFilesAreUnknown(module: String, name: String, text: String) {
    let safety = SafetyTests.safety(
      TestSupport.pickle(
        0x80, 4, "c\(module)\n\(name)\n", SafetyTests.text(text), 0x85, "R."))
    #expect(safety.verdict == .unknown, "\(safety)")
  }

  static let costly: [[UInt8]] = {
    func head(_ count: Int) -> [UInt8] { [0x80, 2] + text(String(repeating: "b", count: count)) }
    var files: [[UInt8]] = []
    // Calls with the same long texts; a long module name with many names; a name with thousands of
    // parts.
    var calls = TestSupport.pickle(0x80, 2, "cvendor\nf\nq", 0, "(")
    calls += text(String(repeating: "x y", count: 1300)) + [0x74, 0x71, 1]
    for _ in 0..<20_000 { calls += [0x68, 0, 0x68, 1, 0x52, 0x30] }
    files.append(calls + [0x4E, 0x2E])
    var names = head(4000) + [0x71, 0]
    for index in 0..<20_000 { names += [0x68, 0] + text(String(index)) + [0x93, 0x30] }
    files.append(names + [0x4E, 0x2E])
    files.append(
      TestSupport.pickle(
        0x80, 2, text("m"), text(String(repeating: "a.", count: 2000) + "a"), 0x93, "."))
    files.append([0x80, 2] + (0..<300_000).flatMap { _ in Array("cb\nc\n0".utf8) } + [0x4E, 0x2E])
    return files
  }()

  /// The work per file is bounded.
  @Test(arguments: costly.indices)
  func costlyFileIsReadInTime(_ index: Int) {
    var safety = Safety()
    let time = ContinuousClock().measure { safety = SafetyTests.safety(SafetyTests.costly[index]) }
    #expect(safety.verdict > .safe)
    #expect(time < .seconds(10))
  }
}
