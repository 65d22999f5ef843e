import OrderedJSON

/// Files that hold no tensors, which are refused by name.
extension FormatDescriptor {
  private static let giveWeights: Remedy = "use the weights file"

  /// A kind that is not read, for the reason that `refusal` gives.
  private static func refused(
    _ name: String, _ mark: Mark, closedName: String? = nil, mayBePickle: Bool = false,
    _ refusal: (@Sendable (MappedFile) -> FormatError?)? = nil
  ) -> FormatDescriptor {
    var kind = FormatDescriptor(name, mark)
    kind.closedName = closedName
    kind.mayBePickle = mayBePickle
    kind.refusal = refusal
    return kind
  }

  // MARK: Archives

  /// - Parameter title: with its article.
  private static func archive(
    _ name: String, _ magic: [UInt8], _ title: String, closedName: String
  ) -> FormatDescriptor {
    refused(name, .beginnings([magic]), closedName: closedName) { _ in
      FormatError(
        .unrecognized, "this is \(title) archive, not a file of tensors",
        hint: "unpack it and use the checkpoint inside")
    }
  }

  package static let gzip = archive("gzip", [0x1F, 0x8B], "a gzip", closedName: "gzip data")
  package static let bzip2 = archive(
    "bzip2", Array("BZh".utf8), "a bzip2", closedName: "bzip2 data")
  package static let xz = archive(
    "xz", [0xFD] + Array("7zXZ".utf8), "an xz", closedName: "xz data")
  package static let zstandard = archive(
    "zstandard", [0x28, 0xB5, 0x2F, 0xFD], "a Zstandard", closedName: "Zstandard data")
  package static let sevenZip = archive(
    "sevenZip", [0x37, 0x7A, 0xBC, 0xAF, 0x27, 0x1C], "a 7z", closedName: "a 7z archive")
  package static let rar = archive(
    "rar", Array("Rar!".utf8), "a RAR", closedName: "a RAR archive")

  // MARK: Images and documents

  private static func image(_ name: String, _ title: String, _ mark: Mark) -> FormatDescriptor {
    var kind = refused(name, mark) { file in
      if name == "png", file.holdsEmbedding {
        return FormatError(
          .unsupported,
          "this is a PNG image that contains a textual inversion embedding; embeddings are not "
            + "read from images",
          hint: "save the embedding as .safetensors or .pt with the program that made it")
      }
      return FormatError(
        .unrecognized, "this is a \(title) image, not a file of tensors", hint: giveWeights)
    }
    kind.imageName = title
    return kind
  }

  package static let png = image("png", "PNG", .beginnings([[0x89] + Array("PNG".utf8)]))
  package static let jpeg = image("jpeg", "JPEG", .beginnings([[0xFF, 0xD8, 0xFF]]))
  package static let gif = image("gif", "GIF", .beginnings([Array("GIF8".utf8)]))
  package static let webp = image(
    "webp", "WebP",
    .test { $0.bytes.starts(with: "RIFF".utf8) && $0.bytes.dropFirst(8).starts(with: "WEBP".utf8) })

  package static let pdf = refused("pdf", .beginnings([Array("%PDF-".utf8)])) { _ in
    FormatError(
      .unrecognized, "this is a PDF document, not a file of tensors", hint: giveWeights)
  }

  // MARK: Programs

  private static func program(
    _ name: String, _ mark: Mark, _ title: String, closedName: String
  ) -> FormatDescriptor {
    var kind = refused(name, mark, closedName: closedName) { _ in
      FormatError(
        .unrecognized, "this is a \(title), not a file of tensors",
        hint: "do not run it; download the file from its publisher")
    }
    kind.mayRunCode = true
    return kind
  }

  package static let elf = program(
    "elf", .beginnings([[0x7F] + Array("ELF".utf8)]), "program for Linux", closedName: "a program")
  package static let windowsProgram = program(
    "windowsProgram", .test { isWindowsProgram($0.bytes) }, "program for Windows",
    closedName: "a program for Windows")

  static func isWindowsProgram(_ head: [UInt8]) -> Bool {
    guard head.count >= 64, head.starts(with: "MZ".utf8) else { return false }
    let start = Int(head[0x3C]) | Int(head[0x3D]) << 8
    return head.dropFirst(start).starts(with: "PE\0\0".utf8)
  }

  // MARK: Text

  /// The text that Git LFS leaves in place of a file that it did not fetch.
  package static let lfsPointer = refused(
    "lfsPointer", .beginnings([Array("version https://git-lfs.github.com/spec/".utf8)])
  ) { $0.lfsRefusal }

  package static let xml = refused(
    "xml", .test { $0.isText("<") && $0.text?.starts(with: "<?xml".utf8) == true }
  ) { file in
    FormatError(
      .unrecognized, "this is XML text (\(file.beginning)), not a file of tensors",
      hint: "a server may have sent it in place of the file; download the file again")
  }

  package static let html = refused("html", .test { $0.isText("<") }) { file in
    FormatError(
      .unrecognized,
      "this is an HTML page (\(file.htmlTitle ?? file.beginning)), saved in place of the file",
      hint: "the download needs another address or a login; download the file again")
  }

  package static let json = refused("json", .test { $0.isText("{", "[") }) { file in
    FormatError(
      .unrecognized, "this is JSON text (\(file.beginning)), not a file of tensors",
      hint: "use the weights file, or the repository directory")
  }

  package static let text = refused("text", .test { $0.text != nil }, mayBePickle: true) { file in
    FormatError(
      .unrecognized, "this is text (\(file.beginning)), not a file of tensors",
      hint: Remedy(readable))
  }

  // MARK: Damage and the rest

  /// A file from before PyTorch 1.6 of which every LF became CR LF.
  package static let mangledPyTorchLegacy = refused(
    "mangledPyTorchLegacy", .test { TorchLegacy.isMangled($0.bytes) }
  ) { _ in
    FormatError(
      .malformed, "PyTorch file damaged by a text-mode transfer (every LF became CR LF)",
      offset: 0, hint: NewlineDamage.hint)
  }

  /// Nothing but zeros, as a download that reserved its room and stopped leaves it.
  package static let zeros = refused("zeros", .test { $0.bytes.allSatisfy { $0 == 0 } }) { _ in
    FormatError(
      .truncated, "the file begins with zeros",
      hint: "the download stopped early; download the file again")
  }

  package static let empty = refused("empty", .none) { _ in
    FormatError(
      .unrecognized, "the file is empty", hint: "the download failed; download the file again")
  }

  /// A pickle that is no checkpoint.
  package static let pickle: FormatDescriptor = {
    var kind = refused(
      "pickle",
      .test { head in
        PickleText.isPickle(head.bytes)
          || head.bytes.count >= 2 && head.bytes[0] == 0x80 && (2...5).contains(head.bytes[1])
      }, mayBePickle: true)
    kind.mayRunCode = true
    return kind
  }()

  package static let directory = refused("directory", .none)

  package static let unknown = refused("unknown", .none, mayBePickle: true)
}
