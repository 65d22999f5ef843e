import Foundation
import ModelFormats
import TestSupport
import Testing

@Suite struct OpeningTests {
  /// A file that is not a checkpoint, its recognized type, and the message.
  struct Refusal: CustomTestStringConvertible {
    let testDescription: String
    let bytes: [UInt8]
    let kind: FormatDescriptor
    let code: FormatError.Code
    let message: String
    let hint: String

    init(
      _ name: String, _ bytes: [UInt8], _ kind: FormatDescriptor,
      _ code: FormatError.Code, _ message: String, _ hint: String
    ) {
      testDescription = name
      self.bytes = bytes
      self.kind = kind
      self.code = code
      self.message = message
      self.hint = hint
    }
  }

  static let pointer = """
    version https://git-lfs.github.com/spec/v1
    oid sha256:c7da0e21ba7ea50637bee26e81c220844defdf01aafca02b2c42ecdadb813de4
    size 3438354725

    """
  static let again = "the download stopped early; download the file again"
  static let unpack = "unpack it and use the checkpoint inside"
  static let weights = "use the weights file"
  static let program =
    "do not run it; download the file from its publisher"
  static let mangled =
    "download the file again as it is; in a Git repository, mark such files as `binary` in "
    + ".gitattributes, or set `git config core.autocrlf false`"
  static let give =
    "give a .safetensors, .bin, .ckpt, .pt, .gguf, .onnx or .sdflat file, or a shard index"

  static let mindSpore =
    "save its parameters as safetensors (mindspore.save_checkpoint has format=\"safetensors\")"
  static let replacement: [UInt8] = [0xEF, 0xBF, 0xBD]

  /// A field of a Protocol Buffers message that contains fewer than 128 bytes.
  static func message(_ number: UInt8, _ bytes: [UInt8]) -> [UInt8] {
    [number << 3 | 2, UInt8(bytes.count)] + bytes
  }

  static let refusals: [Refusal] = [
    Refusal(
      "empty", [], .empty, .unrecognized, "the file is empty",
      "the download failed; download the file again"),
    Refusal(
      "LFS pointer", Array(pointer.utf8), .lfsPointer, .unrecognized,
      "this is a Git LFS pointer to a file of 3438354725 bytes, SHA-256 "
        + "c7da0e21ba7ea50637bee26e81c220844defdf01aafca02b2c42ecdadb813de4, not the file itself",
      "run `git lfs pull` in the repository, or download the file"),
    Refusal(
      "LFS pointer with Windows line ends",
      Array(pointer.replacing("\n", with: "\r\n").utf8), .lfsPointer, .unrecognized,
      "this is a Git LFS pointer to a file of 3438354725 bytes, SHA-256 "
        + "c7da0e21ba7ea50637bee26e81c220844defdf01aafca02b2c42ecdadb813de4, not the file itself",
      "run `git lfs pull` in the repository, or download the file"),
    Refusal(
      "web page", Array("\n\n<!DOCTYPE html>\n<html lang=en>".utf8), .html, .unrecognized,
      "this is an HTML page (\"<!DOCTYPE html> <html lang=en>\"), saved in place of the file",
      "the download needs another address or a login; download the file again"),
    Refusal(
      "configuration", Array("{\n \"a\": 1\n}".utf8), .json, .unrecognized,
      "this is JSON text (\"{ \"a\": 1 }\"), not a file of tensors",
      "use the weights file, or the repository directory"),
    Refusal(
      "text", Array("Entry not found".utf8), .text, .unrecognized,
      "this is text (\"Entry not found\"), not a file of tensors", give),
    Refusal(
      "text with a long line", [0xEF, 0xBB, 0xBF] + Array(String(repeating: "é", count: 90).utf8),
      .text, .unrecognized,
      "this is text (\"\(String(repeating: "é", count: 40))…\"), not a file of tensors",
      give),
    Refusal(
      "zeros", [UInt8](repeating: 0, count: 5000), .zeros, .truncated,
      "the file begins with zeros", again),
    Refusal(
      "gzip", [0x1F, 0x8B, 8, 0], .gzip, .unrecognized,
      "this is a gzip archive, not a file of tensors", unpack),
    Refusal(
      "7z", [0x37, 0x7A, 0xBC, 0xAF, 0x27, 0x1C, 0], .sevenZip, .unrecognized,
      "this is a 7z archive, not a file of tensors", unpack),
    Refusal(
      "tar", TarTests.member("readme", [1]), .tar, .unrecognized,
      "this is a tar archive, not a file of tensors", unpack),
    Refusal(
      "HDF5", [0x89, 0x48, 0x44, 0x46, 0x0D, 0x0A, 0x1A, 0x0A], .hdf5, .unsupported,
      "this is an HDF5 file (as Keras writes), which is not supported",
      "save its arrays as safetensors; the weights of a Keras model have other names and shapes"),
    Refusal(
      "sdflat", Array("SDFLAT\0\u{1}".utf8), .sdflat, .unsupported,
      "this is an .sdflat package; adapters and embeddings cannot be read from it",
      "open it as a checkpoint"),
    Refusal(
      "pickle", [0x80, 4] + Array("N.".utf8), .pickle, .unrecognized,
      "this is a pickle, but not from torch.save",
      "save its tensors with torch.save or as safetensors"),
    Refusal(
      "harmful pickle", [0x80, 4] + Array("cos\nsystem\n(S'id'\ntR.".utf8), .pickle, .unrecognized,
      "this is a pickle that names os.system, which runs commands or changes files; nothing was "
        + "run here", "do not unpickle it unless you trust its source: Python would call this"),
    Refusal(
      "unknown", [0xDE, 0xAD, 0xBE, 0xEF, 1, 2, 3, 4, 5], .unknown, .unrecognized,
      "unrecognized file format; first bytes: de ad be ef 01 02 03 04", give),
    Refusal(
      "truncated safetensors",
      safetensors(#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, data: [0]),
      .safetensors, .truncated,
      "the file is truncated: its header describes 8 bytes of values, 1 are there, so 7 are missing "
        + "(90 % of the file is present)",
      again),
    Refusal(
      "truncated archive", Array(TorchBuilder.archive().bytes.prefix(200)), .zip, .truncated,
      "the file is truncated: it has 200 bytes and lacks the archive's end, the list of its records",
      again),
    Refusal(
      "web page with a title",
      Array("<html>\n<head><TITLE lang='en'>Sign in\n to Hub</title></head>".utf8), .html,
      .unrecognized, "this is an HTML page (\"Sign in to Hub\"), saved in place of the file",
      "the download needs another address or a login; download the file again"),
    Refusal(
      "XML",
      Array("<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code>".utf8), .xml, .unrecognized,
      "this is XML text (\"<?xml version=\"1.0\"?><Error><Code>Access…\"), not a file of tensors",
      "a server may have sent it in place of the file; download the file again"),
    Refusal(
      "white space", Array(" \n\t\n".utf8), .text, .unrecognized,
      "this is text (nothing but white space), not a file of tensors", give),
    Refusal(
      "LFS pointer that says nothing",
      Array("version https://git-lfs.github.com/spec/v1\nsize many\n".utf8), .lfsPointer,
      .unrecognized, "this is a Git LFS pointer to a file, not the file itself",
      "run `git lfs pull` in the repository, or download the file"),
    Refusal(
      "PNG", [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A, 0, 0, 0, 13], .png, .unrecognized,
      "this is a PNG image, not a file of tensors", weights),
    Refusal(
      "JPEG", [0xFF, 0xD8, 0xFF, 0xE0, 0, 16], .jpeg, .unrecognized,
      "this is a JPEG image, not a file of tensors", weights),
    Refusal(
      "GIF", Array("GIF89a".utf8), .gif, .unrecognized,
      "this is a GIF image, not a file of tensors", weights),
    Refusal(
      "WebP", Array("RIFF\u{10}\0\0\0WEBPVP8 ".utf8), .webp, .unrecognized,
      "this is a WebP image, not a file of tensors", weights),
    Refusal(
      "PDF", Array("%PDF-1.7\n".utf8), .pdf, .unrecognized,
      "this is a PDF document, not a file of tensors", weights),
    Refusal(
      "ELF", [0x7F, 0x45, 0x4C, 0x46, 2, 1, 1, 0], .elf, .unrecognized,
      "this is a program for Linux, not a file of tensors", program),
    Refusal(
      "Windows program",
      Array("MZ".utf8) + [UInt8](repeating: 0, count: 58) + [0x40, 0, 0, 0] + Array("PE\0\0".utf8),
      .windowsProgram, .unrecognized, "this is a program for Windows, not a file of tensors",
      program),
    Refusal(
      "bzip2", Array("BZh91AY".utf8), .bzip2, .unrecognized,
      "this is a bzip2 archive, not a file of tensors", unpack),
    Refusal(
      "xz", [0xFD, 0x37, 0x7A, 0x58, 0x5A, 0], .xz, .unrecognized,
      "this is an xz archive, not a file of tensors", unpack),
    Refusal(
      "Zstandard", [0x28, 0xB5, 0x2F, 0xFD, 0], .zstandard, .unrecognized,
      "this is a Zstandard archive, not a file of tensors", unpack),
    Refusal(
      "RAR", Array("Rar!\u{1A}\u{7}\u{1}\0".utf8), .rar, .unrecognized,
      "this is a RAR archive, not a file of tensors", unpack),
    Refusal(
      "NumPy", [0x93] + Array("NUMPY\u{1}\0".utf8), .numpy, .unsupported,
      "this is a NumPy array, which is not supported",
      "save it as safetensors: safetensors.numpy.save_file({\"NAME\": numpy.load(FILE)}, OUT)"),
    Refusal(
      "GGML", Array("lmgg".utf8) + [0, 125, 0, 0], .ggml, .unsupported,
      "this is a GGML file from before GGUF (August 2023), which is not supported",
      "convert the original weights to GGUF with a current program, or use them directly"),
    Refusal(
      "GGML of 2023", Array("tjgg".utf8) + [3, 0, 0, 0], .ggml, .unsupported,
      "this is a GGML file from before GGUF (August 2023), which is not supported",
      "convert the original weights to GGUF with a current program, or use them directly"),
    Refusal(
      "TFLite", [0x1C, 0, 0, 0] + Array("TFL3".utf8) + [0x14, 0, 0x20, 0], .tfLite, .unsupported,
      "this is a TensorFlow Lite model, which is not supported",
      "use the PyTorch or safetensors weights that it was made from"),
    Refusal(
      "MindSpore Lite", [0x10, 0, 0, 0] + Array("MSL2".utf8) + [0, 0], .mindSpore, .unsupported,
      "this is a MindSpore file, which is not supported", mindSpore),
    Refusal(
      // A value: its tag, and a tensor of dimensions, type and content.
      "MindSpore checkpoint",
      message(
        1,
        message(1, Array("conv.weight".utf8))
          + message(2, [8, 2] + message(2, Array("Float32".utf8)) + message(3, [0, 0, 0, 0]))),
      .mindSpore, .unsupported, "this is a MindSpore file, which is not supported", mindSpore),
    Refusal(
      "MindSpore graph", message(1, Array("0.3.0".utf8)) + message(2, Array("MindSpore".utf8)),
      .mindSpore, .unsupported, "this is a MindSpore file, which is not supported", mindSpore),
    Refusal(
      "SentencePiece",
      ["<unk>", "<s>"].flatMap {
        message(1, message(1, Array($0.utf8)) + [0x15, 0, 0, 0, 0, 0x18, 2])
      },
      .sentencePiece, .unsupported,
      "this is a SentencePiece tokenizer model, which is not supported",
      "use the weights file; this file belongs in tokenizer/"),
    Refusal(
      "TensorRT", Array("ftrt".utf8) + [0, 0, 0, 0], .tensorRT, .unsupported,
      "this is a TensorRT engine, which is not supported",
      "use the ONNX model or the weights that it was built from"),
    Refusal(
      "OpenVINO",
      Array(
        "<?xml version=\"1.0\"?>\n<net name=\"m\" version=\"11\">\n<layers><layer id=\"0\"".utf8),
      .openVINO, .unsupported, "this is an OpenVINO model, which is not supported",
      "use the ONNX model or the weights that it was made from"),
    Refusal(
      "Core ML", [8, 7] + message(2, [0x0A, 0]) + [0xB2, 0x1F, 2, 8, 1], .coreML, .unsupported,
      "this is a Core ML model, which is not supported",
      "use the PyTorch or safetensors weights that it was made from"),
    Refusal(
      "Core ML's weights",
      [3, 0, 0, 0, 2, 0, 0, 0] + [UInt8](repeating: 0, count: 56) + [0xEF, 0xBE, 0xAD, 0xDE],
      .coreML, .unsupported, "this is a Core ML model, which is not supported",
      "use the PyTorch or safetensors weights that it was made from"),
    Refusal(
      "Flax", [0x82, 0xA7] + Array("conv_in".utf8) + [0x82, 0xA4] + Array("bias".utf8) + [0xC7],
      .flax,
      .unsupported, "this is a Flax file (MessagePack), which is not supported",
      "use the PyTorch or safetensors weights of the same model, or load it with from_flax=True "
        + "and save it again"),
    Refusal(
      "NumPy archive",
      ZipBuilder(["a.npy", "b.npy"].map { ZipBuilder.Record($0, [1]) }).bytes, .zip, .unsupported,
      "this is a NumPy archive (.npz) of 2 arrays, which is not supported: a.npy, b.npy",
      "save its arrays as safetensors: safetensors.numpy.save_file(dict(numpy.load(FILE)), OUT)"),
    Refusal(
      "Keras",
      ZipBuilder(["config.json", "model.weights.h5"].map { ZipBuilder.Record($0, [1]) }).bytes,
      .zip,
      .unsupported, "this is a Keras model, which is not supported",
      "save its weights as safetensors; they have other names and shapes"),
    Refusal(
      // Every byte from 80 on became EF BF BD.
      "binary file as text",
      (0..<400).flatMap { index -> [UInt8] in index % 3 == 0 ? [UInt8(index & 0x7F)] : replacement
      },
      .unknown, .malformed,
      "this is a binary file that was decoded and written again as UTF-8 text: bytes that are no "
        + "text became U+FFFD (EF BF BD), 266 times in 932 bytes",
      "its values are lost; download or copy the file again in binary mode"),
    Refusal(
      "archive as text",
      Array("PK\u{3}\u{4}".utf8) + (0..<40).flatMap { _ in replacement + [0, 1] }, .zip, .malformed,
      "this is a binary file that was decoded and written again as UTF-8 text: bytes that are no "
        + "text became U+FFFD (EF BF BD), 40 times in 204 bytes",
      "its values are lost; download or copy the file again in binary mode"),
    Refusal(
      "text whose first line is an instruction", Array("cos\nsystem\nand more".utf8), .text,
      .unrecognized, "this is text (\"cos system and more\"), not a file of tensors", give),
    Refusal(
      "archive of something else",
      ZipBuilder(
        ["a.npy", "b.npy", String(repeating: "c", count: 70), "d.npy"].map {
          ZipBuilder.Record($0, [1])
        }
      ).bytes, .zip, .unrecognized,
      "this is a zip archive without data.pkl, so it is not a PyTorch checkpoint; it contains a.npy, b.npy, "
        + "\(String(repeating: "c", count: 60))… and 1 more",
      "unpack it and use the checkpoint or the repository directory inside"),
    Refusal(
      // The number after its length, 10, which is an LF.
      "PyTorch before 1.6 with CR LF",
      pickle(
        0x80, 2, 0x8A, 0x0D, 0x0A, [0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19])
        + Array(".".utf8), .mangledPyTorchLegacy, .malformed,
      "PyTorch file damaged by a text-mode transfer (every LF became CR LF)", mangled),
    Refusal(
      "harmful pickle that breaks off",
      [0x80, 2] + Array("cposix\nsystem\n(S'id'\ntR".utf8) + [0xFF],
      .pickle, .unrecognized,
      "this is a pickle that names posix.system, which runs commands or changes files; nothing was "
        + "run here", "do not unpickle it unless you trust its source: Python would call this"),
    Refusal(
      "harmful pickle behind another",
      [0x80, 2] + Array("N.".utf8) + [0x80, 2] + Array("cos\nsystem\n(S'id'\ntR.".utf8), .pickle,
      .unrecognized,
      "this is a pickle that names os.system, which runs commands or changes files; nothing was "
        + "run here", "do not unpickle it unless you trust its source: Python would call this"),
    Refusal(
      "harmful pickle without magic", pickle("V\u{6F}s\nVsystem\n", 0x93, "(tR."), .unknown,
      .unrecognized,
      "this is a pickle that names os.system, which runs commands or changes files; nothing was "
        + "run here", "do not unpickle it unless you trust its source: Python would call this"),
    Refusal(
      "pickle as text", Array("(lp0\nVa\np1\na.".utf8), .pickle, .unrecognized,
      "this is a pickle, but not from torch.save",
      "save its tensors with torch.save or as safetensors"),
    Refusal(
      "harmful pickle as text", Array("cbuiltins\neval\n(S'1'\ntR.".utf8), .text, .unrecognized,
      "this is a pickle that names builtins.eval, which runs code; nothing was run here",
      "do not unpickle it unless you trust its source: Python would call this"),
  ]

  @Test(arguments: refusals)
  func foreignFileIsNamed(_ refusal: Refusal) throws {
    let error = try #require(try openingError(refusal.bytes))
    #expect(error.code == refusal.code)
    #expect(error.message == refusal.message)
    #expect(error.hint?.description == refusal.hint)
    let directory = try ScratchDirectory()
    #expect(try TensorFile.sniff(try directory.write(refusal.bytes)) == refusal.kind)
  }

  /// A file of 256 KiB with a CR LF every 32 KiB, and LFs in between.
  static let values: [UInt8] = (0..<(256 << 10)).map { position in
    switch position % (32 << 10) {
    case 1000: 0x0D
    case 1001: 0x0A
    case 20000: 0x0A
    default: UInt8(truncatingIfNeeded: position &* 7) | 0x80
    }
  }
  static let sound: [[UInt8]] = [
    safetensors(
      #"{"a":{"dtype":"U8","shape":[262144],"data_offsets":[0,262144]}}"#, data: values),
    TorchBuilder.archive(
      TorchBuilder.dictionary(
        TorchBuilder.tensor(
          storage: TorchBuilder.storage("ByteStorage", count: values.count), sizes: [values.count],
          strides: [1])), values: values
    ).bytes,
  ]

  @Test(arguments: sound) func fileWithLineEndsOpens(_ bytes: [UInt8]) throws {
    #expect(try openingError(bytes) == nil)
  }

  @Test(arguments: sound) func lostCarriageReturnsAreTold(_ bytes: [UInt8]) throws {
    var mangled: [UInt8] = []
    for byte in bytes {
      if byte == 0x0A, mangled.last == 0x0D { mangled.removeLast() }
      mangled.append(byte)
    }
    let error = try #require(try openingError(mangled))
    #expect(error.code == .malformed)
    #expect(
      error.message.hasSuffix(
        "8 bytes are missing and no CR LF is left: a text-mode transfer turned them into LF"))
    #expect(error.hint?.description == OpeningTests.mangled)
    #expect(error.offset != nil)
  }

  @Test(arguments: sound) func addedCarriageReturnsAreTold(_ bytes: [UInt8]) throws {
    var mangled: [UInt8] = []
    for byte in bytes {
      if byte == 0x0A, mangled.last != 0x0D { mangled.append(0x0D) }
      mangled.append(byte)
    }
    let count = mangled.count - bytes.count
    let error = try #require(try openingError(mangled))
    #expect(error.code == .malformed)
    #expect(
      error.message.hasSuffix(
        "\(count) bytes are too many and every LF follows a CR: a text-mode transfer added it"))
    #expect(error.hint?.description == OpeningTests.mangled)
  }

  @Test func shortFileIsNotTakenForAMangledOne() throws {
    let error = try #require(try openingError(Array(OpeningTests.sound[0].dropLast(100_000))))
    #expect(error.code == .truncated)
    #expect(error.message.hasSuffix("so 100000 are missing (61 % of the file is present)"))
  }

  @Test func missingFileIsNotFound() throws {
    let path = Fixtures.path("formats/absent.safetensors")
    for attempt in [{ _ = try TensorFile.open(path) }, { _ = try TensorFile.sniff(path) }] {
      let error = try #require(throws: FormatError.self) { try attempt() }
      #expect(error.code == .notFound)
      #expect(error.file == path)
      #expect(error.message == "cannot open the file: No such file or directory")
    }
  }

  @Test func directoryIsNoFile() throws {
    let directory = try ScratchDirectory()
    let error = try #require(throws: FormatError.self) { try TensorFile.open(directory.path) }
    #expect(error.code == .unrecognized)
    #expect(error.message == "this is a directory, not a file")
    #expect(try TensorFile.sniff(directory.path) == .directory)
  }

  @Test func deviceIsNoFile() throws {
    let error = try #require(throws: FormatError.self) { try TensorFile.open("/dev/null") }
    #expect(error.code == .unrecognized)
  }

  @Test(arguments: [
    ("views.pt", FormatDescriptor.zip), ("legacy.pt", .pytorchLegacy),
    ("types.safetensors", .safetensors), ("expected.json", .json), ("make.py", .text),
  ])
  func fixtureIsTold(name: String, kind: FormatDescriptor) throws {
    #expect(try TensorFile.sniff(Fixtures.path("formats/\(name)")) == kind)
  }
}
