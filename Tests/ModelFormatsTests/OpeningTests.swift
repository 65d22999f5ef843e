import Foundation
import ModelFormats
import TestSupport
import Testing

@Suite struct OpeningTests {
  /// Something that is no checkpoint, what it is told to be, and what is said of it.
  struct Refusal: CustomTestStringConvertible {
    let testDescription: String
    let bytes: [UInt8]
    let kind: TensorFile.Kind
    let code: FormatError.Code
    let message: String
    let hint: String

    init(
      _ name: String, _ bytes: [UInt8], _ kind: TensorFile.Kind,
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
  static let unpack = "unpack it and give the checkpoint inside"
  static let give = "give a .safetensors, .bin, .ckpt, .pt or .sdflat file"

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
      "this is an HTML page (\"<!DOCTYPE html>\"), saved in place of the file",
      "the download needs another address or a login; download the file again"),
    Refusal(
      "configuration", Array("{\n \"a\": 1\n}".utf8), .json, .unrecognized,
      "this is JSON text (\"{\"), not a file of tensors",
      "give the file that holds the weights, or the directory of the whole repository"),
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
      "the file begins with nothing but zeros", again),
    Refusal(
      "gzip", [0x1F, 0x8B, 8, 0], .gzip, .unrecognized,
      "this is a gzip archive, not a file of tensors", unpack),
    Refusal(
      "7z", [0x37, 0x7A, 0xBC, 0xAF, 0x27, 0x1C, 0], .sevenZip, .unrecognized,
      "this is a 7z archive, not a file of tensors", unpack),
    Refusal(
      "tar",
      Array("pickle".utf8) + [UInt8](repeating: 0, count: 251) + Array("ustar\u{0}00".utf8), .tar,
      .unrecognized, "this is a tar archive, not a file of tensors", unpack),
    Refusal(
      "HDF5", [0x89, 0x48, 0x44, 0x46, 0x0D, 0x0A, 0x1A, 0x0A], .hdf5, .unsupported,
      "this is a HDF5 file, which is not read here",
      "give the checkpoint as .safetensors, .bin, .ckpt or .pt"),
    Refusal(
      "sdflat", Array("SDFLAT\0\u{1}".utf8), .sdflat, .unsupported,
      "this is an sdflat package of a whole pipeline, not a file of tensors",
      "open it as a checkpoint"),
    Refusal(
      "pickle", [0x80, 4] + Array("N.".utf8), .pickle, .unrecognized,
      "this is a pickle, but not one that torch.save wrote",
      "save its tensors with torch.save or as safetensors"),
    Refusal(
      "harmful pickle", [0x80, 4] + Array("cos\nsystem\n(S'id'\ntR.".utf8), .pickle, .unrecognized,
      "this is a pickle that names os.system, which runs commands or changes files; nothing was "
        + "run here", "do not unpickle it: it looks like an attack"),
    Refusal(
      "unknown", [0xDE, 0xAD, 0xBE, 0xEF, 1, 2, 3, 4, 5], .unknown, .unrecognized,
      "the file is of no format that is read here; it begins with de ad be ef 01 02 03 04", give),
    Refusal(
      "truncated safetensors",
      safetensors(#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, data: [0]),
      .safetensors, .truncated,
      "the file is truncated: its header describes 8 bytes of values, 1 are there, so 7 are missing",
      again),
    Refusal(
      "truncated archive", Array(TorchBuilder.archive().bytes.prefix(200)), .zip, .truncated,
      "the file is truncated: it has 200 bytes and lacks the archive's end", again),
  ]

  @Test(arguments: refusals)
  func foreignFileIsNamed(_ refusal: Refusal) throws {
    let error = try #require(try openingError(refusal.bytes))
    #expect(error.code == refusal.code)
    #expect(error.message == refusal.message)
    #expect(error.hint == refusal.hint)
    let directory = try ScratchDirectory()
    #expect(try TensorFile.sniff(try directory.write(refusal.bytes)) == refusal.kind)
  }

  @Test func missingFileIsNotFound() throws {
    let path = Fixtures.path("formats/absent.safetensors")
    for attempt in [{ _ = try TensorFile.open(path) }, { _ = try TensorFile.sniff(path) }] {
      let error = try #require(throws: FormatError.self) { try attempt() }
      #expect(error.code == .notFound)
      #expect(error.file == path)
      #expect(error.message == "the file cannot be opened: No such file or directory")
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
    ("views.pt", TensorFile.Kind.zip), ("legacy.pt", .pytorchLegacy),
    ("types.safetensors", .safetensors), ("expected.json", .json), ("make.py", .text),
  ])
  func fixtureIsTold(name: String, kind: TensorFile.Kind) throws {
    #expect(try TensorFile.sniff(Fixtures.path("formats/\(name)")) == kind)
  }
}
