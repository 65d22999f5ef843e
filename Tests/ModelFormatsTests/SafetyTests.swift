import ModelFormats
import TestSupport
import Testing

/// What files would run when unpickled.
@Suite struct SafetyTests {
  /// Any one of the names, in a list, unpickled.
  static func pickle(naming global: Pickle.Global) -> [UInt8] {
    TestSupport.pickle(0x80, 2, "]c\(global.module)\n\(global.name)\na.")
  }

  static func safety(_ bytes: [UInt8]) -> Safety {
    TensorFile.scan(MappedFile(contents: bytes, path: "input")).safety
  }

  /// None is overlooked.
  @Test func harmfulNamesAreTold() {
    var counts: [Safety.Verdict: Int] = [:]
    for global in HarmfulNames.all {
      let safety = SafetyTests.safety(SafetyTests.pickle(naming: global))
      #expect(safety.names.map(\.name) == [global.spoken])
      #expect(safety.verdict > .safe, "\(global.spoken)")
      counts[safety.verdict, default: 0] += 1
    }
    #expect(HarmfulNames.all.count == 452)
    #expect(counts[.safe] == nil)
    // The others are from modules that are mostly harmless: they are listed, not called dangerous.
    #expect(counts[.dangerous] == 372)
  }

  static let plain: [[UInt8]] = {
    var files: [[UInt8]] = []
    files.append(TorchBuilder.archive().bytes)
    files.append(Array(TorchBuilder.dictionary(TorchBuilder.tensor())))
    files.append(TestSupport.pickle(0x80, 2, "ccollections\nOrderedDict\n)R."))
    files.append(
      TestSupport.pickle(
        0x80, 2, "c_codecs\nencode\n(", TorchBuilder.text("a"), "X\u{6}\0\0\0latin1tR."))
    files.append(TestSupport.pickle(0x80, 2, "c__builtin__\nset\n(]tR."))
    files.append(
      TestSupport.pickle(
        0x80, 2, "cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK", 0, 0x85, "tR."))
    files.append(Array("hello, world\n".utf8))
    files.append([])
    files.append(Array("cat\ndog\n".utf8))
    files.append(safetensors(#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#, data: [0]))
    return files
  }()

  /// What plain tensors and containers need.
  @Test(arguments: plain)
  func plainFileIsSafe(_ bytes: [UInt8]) {
    let safety = SafetyTests.safety(bytes)
    #expect(safety.verdict == .safe, "\(safety)")
  }

  /// A trainer's classes, as in published checkpoints.
  @Test(arguments: [
    ("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint"),
    ("pytorch_lightning.callbacks.early_stopping", "EarlyStopping"),
    ("omegaconf.dictconfig", "DictConfig"), ("pathlib", "PosixPath"),
    ("torch.distributed.tensor", "DTensor"), ("transformers.training_args", "TrainingArguments"),
  ])
  func classesOfTrainersAreUnknown(module: String, name: String) {
    let safety = SafetyTests.safety(
      SafetyTests.pickle(naming: Pickle.Global(module: module, name: name)))
    #expect(safety.verdict == .unknown)
    #expect(safety.names.map(\.name) == ["\(module).\(name)"])
    #expect(safety.names.map(\.danger) == [nil])
    #expect(safety.sentences.first?.hasPrefix("unknown: objects of these classes") == true)
  }

  static let harmful: [[UInt8]] = {
    var files: [[UInt8]] = []
    // A module changed by BUILD; a class changed by a key.
    files.append(TestSupport.pickle(0x80, 4, "ctorch\n_utils\n}b."))
    files.append(TestSupport.pickle(0x80, 4, "ccollections\nOrderedDict\nNNs."))
    // The same through a function that returns what it is given.
    files.append(
      TestSupport.pickle(0x80, 4, "ctorch.jit._pickle\nrestore_type_tag\n(ctorch\n_utils\nNtR}b."))
    // Names that are computed.
    files.append(TestSupport.pickle(0x80, 4, "Va\ncvendor\nf\n)R", 0x93, "."))
    // Commands, code, addresses and names, passed to unknown functions.
    files.append(TestSupport.pickle(0x80, 4, "cvendor\nf\n(Vrm -rf /tmp/x\ntR."))
    files.append(TestSupport.pickle(0x80, 4, "cvendor\nf\n((lV/bin/sh\naV-c\natR."))
    files.append(TestSupport.pickle(0x80, 4, "cvendor\nf\n(Vprint(\"x\")\ntR."))
    files.append(TestSupport.pickle(0x80, 4, "(Vimport os\nivendor\nf\n."))
    files.append(TestSupport.pickle(0x80, 4, "(cvendor\nload_from_url\nVhttps://example.org/x\no."))
    files.append(TestSupport.pickle(0x80, 4, "cvendor\nf\n(Vos.system\nt", 0x81, "."))
    files.append(
      TestSupport.pickle(
        0x80, 4, "ccopyreg\n_reconstructor\n(cvendor\nf\nc__builtin__\nobject\nVposix\ntR."))
    files.append(
      TestSupport.pickle(
        0x80, 4, "ctorch._tensor\n_rebuild_from_type_v2\n(cvendor\nf\nN(Vsubprocess\nt}tR."))
    // Unlimited memory.
    files.append(
      TestSupport.pickle(0x80, 4, "cbuiltins\nbytearray\n(J", [0xFF, 0xFF, 0xFF, 0x7F], "tR."))
    return files
  }()

  /// Calls and changes that are harmful although the names are unknown.
  @Test(arguments: harmful)
  func harmWithoutKnownNamesIsDangerous(_ bytes: [UInt8]) {
    #expect(SafetyTests.safety(bytes).verdict == .dangerous)
  }

  static let attack = TestSupport.pickle(0x80, 4, "cposix\nsystem\n(Vid\ntR0")

  static let faulty: [[UInt8]] = {
    var files: [[UInt8]] = []
    files.append(attack)
    files.append(attack + [0xFF])
    files.append(attack + Array("}.".utf8) + [1, 2, 3])
    files.append(TestSupport.pickle(0x80, 4, "}.") + attack + Array("N.".utf8))
    files.append([0x80, 4, 0x95, 0xE7, 3, 0, 0, 0, 0, 0, 0] + attack[2...])
    files.append(attack + [0x95, 0xE7, 3, 0, 0, 0, 0, 0, 0, 0x2E])
    files.append(
      [0x80, 4] + [UInt8](repeating: 0x4E, count: 300_000) + attack[2...] + Array("}.".utf8))
    files.append(
      [0x80, 4] + [UInt8](repeating: 0x28, count: 300_000) + attack[2...] + Array("}.".utf8))
    return files
  }()

  /// What precedes a fault still runs.
  @Test(arguments: faulty.indices)
  func nameBeforeFaultIsTold(_ index: Int) throws {
    let bytes = SafetyTests.faulty[index]
    #expect(SafetyTests.safety(bytes).dangerous.map(\.name) == ["posix.system"])
    let archive = TorchBuilder.archive(bytes).bytes
    let safety = SafetyTests.safety(archive)
    #expect(safety.dangerous.map(\.name) == ["posix.system"])
    #expect(safety.dangerous.map(\.record) == ["archive/data.pkl"])
    // Opened as a checkpoint, it is rejected with the name, or read with a warning about it.
    let directory = try ScratchDirectory()
    let path = try directory.write(archive)
    do throws(FormatError) {
      let file = try TensorFile.open(path)
      #expect(file.safety.verdict == .dangerous)
      #expect(file.warnings.first?.contains("posix.system") == true)
    } catch {
      #expect(error.safety?.dangerous.map(\.name) == ["posix.system"])
      #expect(error.description.contains("posix.system (runs commands or changes files)"))
    }
  }

  /// What exceeds the machine's budget is still scanned: more than 4 M instructions.
  @Test func nameBeyondTheBudgetIsTold() throws {
    var bytes: [UInt8] = [0x80, 4]
    for _ in 0..<2_200_000 {
      bytes.append(0x4E)
      bytes.append(0x30)
    }
    bytes += SafetyTests.attack[2...] + [0x4E, 0x2E]
    #expect(SafetyTests.safety(bytes).dangerous.map(\.name) == ["posix.system"])
  }

  static let broken: [[UInt8]] = {
    var files: [[UInt8]] = []
    files.append(Array(TorchBuilder.archive(attack + Array("}.".utf8)).bytes.dropLast(30)))
    files.append(TorchBuilder.archive(attack).with { $0.records[0].checksum = 1 }.bytes)
    files.append(
      TorchBuilder.archive(attack).with { $0.records[0].localName = "archive/data.pkx" }.bytes)
    files.append([1, 2, 3] + TorchBuilder.archive(attack).bytes)
    files.append(TorchBuilder.archive(attack).with { $0.comment = [1, 2, 3] }.bytes + [4])
    files.append(ZipBuilder([.deflated("archive/data.pkl", attack)]).bytes)
    files.append(TorchBuilder.archive(more: [.init("archive/DATA.PKL", attack)]).bytes)
    files.append(ZipBuilder([.init("a/b.zip", TorchBuilder.archive(attack).bytes)]).bytes)
    files.append(ZipBuilder([.init("m.tar", TarTests.member("x.pkl", attack))]).bytes)
    files.append(TarTests.member("x.pkl", attack))
    files.append(TarTests.member("m.zip", TorchBuilder.archive(attack).bytes))
    return files
  }()

  /// Archives that readers reject, or that they read in different ways.
  @Test(arguments: broken)
  func nameInBrokenArchiveIsTold(_ bytes: [UInt8]) {
    let safety = SafetyTests.safety(bytes)
    #expect(Set(safety.dangerous.map(\.name)) == ["posix.system"], "\(safety)")
  }

  /// PyTorch's reader accepts `DATA.PKL` as `data.pkl`.
  @Test func namesThatDifferInCapitalsAreRefused() throws {
    let archive = TorchBuilder.archive(more: [.init("archive/DATA/0", TorchBuilder.values)])
    let directory = try ScratchDirectory()
    let path = try directory.write(archive.bytes)
    let error = try #require(throws: FormatError.self) { try TensorFile.open(path) }
    #expect(error.code == .malformed)
    #expect(
      error.message
        == "the name differs from \"archive/data/0\" in capitals only, which PyTorch's reader takes "
        + "for one")
    #expect(error.context == "archive/DATA/0")
  }

  /// A file that is both valid safetensors and a pickle: its first byte, 0x56, begins a one-line
  /// text, which white space at the end of the header ends.
  @Test func safetensorsThatIsAPickleIsDangerous() throws {
    let values = Array("0cposix\nsystem\n(S'id'\ntR.".utf8)
    var header =
      #"{"w":{"dtype":"U8","shape":[\#(values.count)],"data_offsets":[0,\#(values.count)]}}"#
    header += String(repeating: " ", count: 0x56 - header.utf8.count - 1) + "\n"
    let bytes = safetensors(header, data: values)
    let directory = try ScratchDirectory()
    let file = try TensorFile.open(try directory.write(bytes))
    #expect(file.format == .safetensors)
    #expect(file.safety.dangerous.map(\.name) == ["posix.system"])
    #expect(file.safety.dangerous.map(\.offset) == [95])
  }

  /// Pickles of the format before PyTorch 1.6: any of the five may name anything.
  @Test(arguments: 0..<5)
  func everyPickleOfTheOldFormIsRead(_ position: Int) {
    let bodies: [[UInt8]] = [
      [0x8A, 10, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19], [0x4D, 0xE9, 3],
      Array("}".utf8), Array("}".utf8), Array("]".utf8),
    ]
    var bytes: [UInt8] = []
    for (index, body) in bodies.enumerated() {
      bytes += [0x80, 2]
      if index == position { bytes += SafetyTests.attack[2...] }
      bytes += body + [0x2E]
    }
    #expect(SafetyTests.safety(bytes).dangerous.map(\.name) == ["posix.system"])
  }

  /// A storage pickled as a file's bytes is as safe as that file.
  @Test func nestedFileGivesItsVerdict() {
    func loading(_ bytes: [UInt8]) -> [UInt8] {
      TestSupport.pickle(
        0x80, 4, "ctorch.storage\n_load_from_bytes\n(B", littleEndian(UInt32(bytes.count)), bytes,
        "tR.")
    }
    let storage = TestSupport.pickle(0x80, 2, TorchBuilder.storage(), ".")
    #expect(SafetyTests.safety(loading(storage)).verdict == .safe)
    #expect(SafetyTests.safety(loading(loading(storage))).verdict == .safe)
    let nested = SafetyTests.safety(loading(SafetyTests.attack + Array("N.".utf8)))
    #expect(nested.dangerous.map(\.name) == ["posix.system"])
    let unknown = SafetyTests.safety(loading(Array("cvendor\nf\n)R.".utf8)))
    #expect(unknown.verdict == .unknown)
    // Protocol 2 pickles bytes as a text whose characters they are.
    let text = TestSupport.pickle(
      0x80, 2, "ctorch.storage\n_load_from_bytes\n(c_codecs\nencode\n(",
      TorchBuilder.text("cos\nabort\n)R."),
      TorchBuilder.text("latin1"), "tRtR.")
    #expect(SafetyTests.safety(text).dangerous.map(\.name) == ["os.abort"])
    let computed = Array("ctorch.storage\n_load_from_bytes\n(cvendor\nf\n)RtR.".utf8)
    #expect(
      SafetyTests.safety(computed).dangerous.map(\.name) == ["torch.storage._load_from_bytes"])
    var deep = storage
    for _ in 0..<20 { deep = loading(deep) }
    #expect(SafetyTests.safety(deep).verdict == .dangerous)
  }

  /// Bytes that contain a pickle are data; what they would run is reported.
  @Test func bytesThatAreAPickleAreTold() {
    let attack = SafetyTests.attack + Array("N.".utf8)
    let safety = SafetyTests.safety(TestSupport.pickle(0x80, 3, "C", attack.count, attack, "."))
    #expect(safety.verdict == .unknown)
    #expect(
      safety.notes == [
        "the bytes at 4 are a pickle of their own, which names posix.system (runs commands or changes "
          + "files); they are data to the pickle around them, but whatever reads the object may unpickle "
          + "them"
      ])
    let plain = Array(TestSupport.pickle(0x80, 2, "K", 1, "."))
    #expect(
      SafetyTests.safety(TestSupport.pickle(0x80, 3, "C", plain.count, plain, ".")).verdict == .safe
    )
  }

  /// Arrays of objects are pickles after a header.
  @Test func arrayOfObjectsIsRead() {
    func array(_ type: String, _ values: [UInt8]) -> [UInt8] {
      let header = Array("{'descr': '\(type)', 'fortran_order': False, 'shape': (1,), }\n".utf8)
      return [0x93] + Array("NUMPY".utf8) + [1, 0] + littleEndian(UInt16(header.count)) + header
        + values
    }
    let objects = array("|O", SafetyTests.attack + Array("N.".utf8))
    #expect(SafetyTests.safety(objects).dangerous.map(\.name) == ["posix.system"])
    #expect(SafetyTests.safety(array("<f4", [0, 0, 0, 0])).verdict == .safe)
    let archive = ZipBuilder([.init("a.npy", array("<f4", [0, 0, 0, 0])), .init("b.npy", objects)])
    #expect(SafetyTests.safety(archive.bytes).dangerous.map(\.record) == ["b.npy"])
  }

  /// Unscanned data is reported, and not called safe.
  @Test(arguments: [
    ([0x37, 0x7A, 0xBC, 0xAF, 0x27, 0x1C], "a 7z archive was not searched"),
    (
      [0x89, 0x48, 0x44, 0x46, 0x0D, 0x0A, 0x1A, 0x0A],
      "HDF5 data (as Keras writes) was not searched"
    ),
    (
      ZipBuilder([.init("model.weights.h5", [1])]).bytes,
      "model.weights.h5: HDF5 data was not searched"
    ),
    (
      ZipBuilder([.init("a.7z", [0x37, 0x7A, 0xBC, 0xAF, 0x27, 0x1C])]).bytes,
      "a.7z: a 7z archive was not searched"
    ),
  ])
  func closedFormatsAreNamed(bytes: [UInt8], note: String) {
    let safety = SafetyTests.safety(bytes)
    #expect(safety.verdict == .unknown)
    #expect(safety.notes == [note])
  }

  /// Dangerous names come first and are all listed, however many others there are.
  @Test func dangerousNamesAreNotHidden() {
    var text = (0..<40_000).map { "ca\($0)\nB\n0" }.joined()
    text += (0..<40).map { "cos\nsystem\($0)\n0" }.joined() + "}."
    let safety = SafetyTests.safety([0x80, 2] + Array(text.utf8))
    #expect(safety.dangerous.count == 40)
    #expect(safety.names[0].name == "os.system0")
    #expect(safety.names.count == 16_384 + 40)
    #expect(safety.notes.count == 1)
  }
}
