import Glibc

extension TensorFile {
  /// The kind of a file, detected from its first bytes, never from its name.
  public enum Kind: String, Sendable, CaseIterable {
    case safetensors
    /// A zip archive, including current PyTorch files and TorchScript.
    case zip
    /// The PyTorch format before version 1.6: five pickles, then the storages.
    case pytorchLegacy
    case sdflat
    case pickle
    case gguf
    /// An ONNX model, which has no magic number.
    case onnx
    case hdf5
    case numpy
    /// ggml's formats before GGUF.
    case ggml
    case tfLite
    case mindSpore
    case sentencePiece
    case tensorRT
    case openVINO
    case coreML
    case flax
    case tar
    case gzip
    case bzip2
    case xz
    case zstandard
    case sevenZip
    case png
    case jpeg
    case gif
    case webp
    case pdf
    /// A Linux program.
    case elf
    /// A Windows program.
    case windowsProgram
    case rar
    /// The Git LFS pointer of a file that was not fetched.
    case lfsPointer
    case html
    case xml
    case json
    /// A shard index:
    case shardIndex
    case text
    /// A PyTorch file (before 1.6) in which every LF became CR LF.
    case mangledPyTorchLegacy
    /// Only zeros, as left by a download that reserved its space and stopped.
    case zeros
    case empty
    case directory
    case unknown
  }

  /// Detects the kind of the file at `path`.
  ///
  /// - Throws: ``FormatError`` with code `notFound`, or as ``MappedFile/init(path:)``.
  public static func sniff(_ path: String) throws(FormatError) -> Kind {
    if isDirectory(path) { return .directory }
    return kind(of: try MappedFile(path: path))
  }

  static func isDirectory(_ path: String) -> Bool {
    var status = stat()
    return unsafe stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }

  /// The kind with this magic number as first bytes; nil for others.
  static func kind(ofMagic head: [UInt8]) -> Kind? {
    magics.first { head.starts(with: $0.0) }?.1
  }

  /// Detects the kind of a file from its first bytes.
  static func kind(of file: MappedFile) -> Kind {
    let head = unsafe file.withBytes(in: 0..<min(file.count, 4096)) { unsafe [UInt8]($0) }
    if head.isEmpty { return .empty }
    if let kind = kind(ofMagic: head) { return kind }
    if head.count >= 262, head[257..<262].elementsEqual("ustar".utf8) { return .tar }
    if isSafetensors(head) { return .safetensors }
    if isLegacyPyTorch(head) { return .pytorchLegacy }
    if isMangledLegacyPyTorch(head) { return .mangledPyTorchLegacy }
    if isWindowsProgram(head) { return .windowsProgram }
    if head.starts(with: "RIFF".utf8), head.dropFirst(8).starts(with: "WEBP".utf8) { return .webp }
    if PickleText.isPickle(head) { return .pickle }
    if let kind = textKind(head) {
      return kind == .json && ShardIndex.isIndex(file) ? .shardIndex : kind
    }
    if isPickle(head) { return .pickle }
    if ONNX.isModel(file) { return .onnx }
    if head.allSatisfy({ $0 == 0 }) { return .zeros }
    return foreignKind(file, head) ?? .unknown
  }

  private static let magics: [(magic: [UInt8], kind: Kind)] = [
    (Array("SDFLAT\0\u{1}".utf8), .sdflat),
    (Array("PK\u{3}\u{4}".utf8), .zip),
    (Array("PK\u{5}\u{6}".utf8), .zip),
    (Array("GGUF".utf8), .gguf),
    ([0x89, 0x48, 0x44, 0x46, 0x0D, 0x0A, 0x1A, 0x0A], .hdf5),
    ([0x93] + Array("NUMPY".utf8), .numpy),
    // 32-bit numbers spelling ggml, ggmf, ggjt and ggla, lowest byte first.
    (Array("lmgg".utf8), .ggml),
    (Array("fmgg".utf8), .ggml),
    (Array("tjgg".utf8), .ggml),
    (Array("algg".utf8), .ggml),
    (Array("ftrt".utf8), .tensorRT),
    (Array("ptrt".utf8), .tensorRT),
    ([0x1F, 0x8B], .gzip),
    (Array("BZh".utf8), .bzip2),
    ([0xFD] + Array("7zXZ".utf8), .xz),
    ([0x28, 0xB5, 0x2F, 0xFD], .zstandard),
    ([0x37, 0x7A, 0xBC, 0xAF, 0x27, 0x1C], .sevenZip),
    (Array("Rar!".utf8), .rar),
    ([0x89] + Array("PNG".utf8), .png),
    ([0xFF, 0xD8, 0xFF], .jpeg),
    (Array("GIF8".utf8), .gif),
    (Array("%PDF-".utf8), .pdf),
    ([0x7F] + Array("ELF".utf8), .elf),
    (Array("version https://git-lfs.github.com/spec/".utf8), .lfsPointer),
  ]

  /// A length whose upper bytes are zero, then a JSON object; the length itself is checked later.
  private static func isSafetensors(_ head: [UInt8]) -> Bool {
    guard head.count > 8, head[5..<8].allSatisfy({ $0 == 0 }) else { return false }
    let first = head[8...].first { ![0x20, 0x09, 0x0A, 0x0D].contains($0) }
    return first == UInt8(ascii: "{")
  }

  /// The first of the five pickles is one number, 0x1950A86A20F9469CFC6C, in binary or as text.
  private static func isLegacyPyTorch(_ head: [UInt8]) -> Bool {
    let binary: [UInt8] = [
      0x8A, 0x0A, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19, 0x2E,
    ]
    // At the start (protocol 1), after PROTO, or after PROTO and FRAME.
    let isBinary = [0, 2, 11].contains { head.dropFirst($0).starts(with: binary) }
    return isBinary || head.starts(with: "L119547037146038801333356L\n.".utf8)
  }

  /// The same number after its length, 10, which is an LF and became two bytes.
  private static func isMangledLegacyPyTorch(_ head: [UInt8]) -> Bool {
    let binary: [UInt8] = [0x8A, 0x0D, 0x0A, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50]
    return [0, 2, 11].contains { head.dropFirst($0).starts(with: binary) }
  }

  static func isWindowsProgram(_ head: [UInt8]) -> Bool {
    guard head.count >= 64, head.starts(with: "MZ".utf8) else { return false }
    let start = Int(head[0x3C]) | Int(head[0x3D]) << 8
    return head.dropFirst(start).starts(with: "PE\0\0".utf8)
  }

  private static func isPickle(_ head: [UInt8]) -> Bool {
    head.count >= 2 && head[0] == 0x80 && (2...5).contains(head[1])
  }

  private static func textKind(_ head: [UInt8]) -> Kind? {
    var text = head[...]
    if text.starts(with: [0xEF, 0xBB, 0xBF]) { text = text.dropFirst(3) }
    let isText = text.allSatisfy { $0 >= 0x20 && $0 != 0x7F || (0x09...0x0D).contains($0) }
    // The last sequence may be incomplete at the end of the head.
    let isUTF8 = (0...min(3, text.count)).contains {
      String(validating: text.dropLast($0), as: UTF8.self) != nil
    }
    guard isText, isUTF8 else { return nil }
    let start = text.drop { $0 == 0x20 || (0x09...0x0D).contains($0) }
    switch start.first {
    case UInt8(ascii: "<"):
      // OpenVINO graphs, whose weights are in the .bin file of the same name.
      if start.firstRange(of: "<net ".utf8) != nil, start.firstRange(of: "<layer".utf8) != nil {
        return .openVINO
      }
      return start.starts(with: "<?xml".utf8) ? .xml : .html
    case UInt8(ascii: "{"), UInt8(ascii: "["):
      return .json
    default:
      return .text
    }
  }
}
