/// The kind of some bytes, as far as it affects scanning.
enum Content: Hashable {
  case zip
  case tar
  case numpy
  /// Data that begins like pickles of protocol 2 and later.
  case pickle
  /// Data that is not scanned, in words.
  case closed(String)
  case other

  static let hierarchical = "HDF5 data (as Keras writes)"

  /// Data that is recognized by its first bytes and not scanned, although not a model file.
  private static let beginnings: [(bytes: [UInt8], what: String)] = [
    ([0x04, 0x22, 0x4D, 0x18], "LZ4 data"),
    (Array("LZIP".utf8), "lzip data"),
    ([0x89, 0x4C, 0x5A, 0x4F, 0x00], "lzop data"),
    ([0x1F, 0x9D], "data of compress"),
    (Array("MSCF".utf8), "a CAB archive"),
    ([0xFF, 0x06, 0, 0] + Array("sNaPpY".utf8), "Snappy data"),
    (Array("!<arch>\n".utf8), "an archive of programs"),
    (Array("#!".utf8), "a script"),
    ([0, 0x61, 0x73, 0x6D], "a WebAssembly program"),
    ([0xFE, 0xED, 0xFA, 0xCE], "a program for macOS"),
    ([0xFE, 0xED, 0xFA, 0xCF], "a program for macOS"),
    ([0xCE, 0xFA, 0xED, 0xFE], "a program for macOS"),
    ([0xCF, 0xFA, 0xED, 0xFE], "a program for macOS"),
    ([0xCA, 0xFE, 0xBA, 0xBE], "a program for macOS or Java"),
  ]

  init(_ file: MappedFile, _ range: Range<Int>) {
    let head = Content.head(of: file, range, count: 512)
    let kind = FormatDescriptor.beginning(head)
    if kind == .zip {
      self = .zip
    } else if kind == .numpy {
      self = .numpy
    } else if TarSurvey.isHeader(head)
      || head.count >= 262 && head[257..<262].elementsEqual("ustar".utf8)
    {
      self = .tar
    } else if head.count >= 2, head[0] == 0x80, head[1] <= 5 {
      self = .pickle
    } else if let kind, let what = kind.closedName {
      self = .closed(what)
    } else if FormatDescriptor.isWindowsProgram(head),
      let what = FormatDescriptor.windowsProgram.closedName
    {
      self = .closed(what)
    } else if let what = Content.beginnings.first(where: { head.starts(with: $0.bytes) })?.what {
      self = .closed(what)
    } else if let packed = Content.packed(head) {
      self = .closed(packed)
    } else {
      self = .other
    }
  }

  /// Compressed data as written by joblib, recognized by constraints on its header, because the
  /// first bytes of other files may be equal.
  private static func packed(_ head: [UInt8]) -> String? {
    if head.count > 2, head[0] == 0x78, [0x01, 0x5E, 0x9C, 0xDA].contains(head[1]) {
      let result = unsafe head.dropFirst(2).withUnsafeBytes {
        unsafe Inflate.beginning($0, limit: 16)
      }
      if result.isWhole || !result.bytes.isEmpty { return "zlib data" }
    }
    // Properties, the dictionary's size, and that of the data, which is unknown or less than 2^38.
    if head.count > 13, head[0] == 0x5D, head[13] == 0,
      head[5..<13].allSatisfy({ $0 == 0xFF }) || head[9] < 0x40 && head[10..<13] == [0, 0, 0]
    {
      return "LZMA data"
    }
    if head.starts(with: Array("ZF".utf8)), head.count >= 21,
      head[2..<21].allSatisfy({ "0123456789abcdefABCDEFxX ".utf8.contains($0) })
    {
      return "joblib's compressed data"
    }
    return nil
  }

  static func head(of file: MappedFile, _ range: Range<Int>, count: Int) -> [UInt8] {
    let end = min(range.upperBound, range.lowerBound + count)
    return unsafe file.withBytes(in: range.lowerBound..<end) { unsafe [UInt8]($0) }
  }
}

extension Content {
  /// The range of the header in a `numpy.save` file; nil if it is incomplete.
  static func arrayHeader(of file: MappedFile, _ range: Range<Int>) -> Range<Int>? {
    let head = Content.head(of: file, range, count: 12)
    guard head.count == 12 else { return nil }
    let isLong = head[6] >= 2
    let length =
      Int(head[8]) | Int(head[9]) << 8
      | (isLong ? Int(head[10]) << 16 | Int(head[11]) << 24 : 0)
    let start = range.lowerBound + (isLong ? 12 : 10)
    return length <= range.upperBound - start ? start..<(start + length) : nil
  }

  /// Whether this is an array whose values are certainly not a pickle.
  static func isPlainArray(_ file: MappedFile, _ range: Range<Int>) -> Bool {
    guard Content(file, range) == .numpy, let header = arrayHeader(of: file, range) else {
      return false
    }
    return ArrayHeader(file, header).length != nil
  }
}

extension Content {
  /// Programs by file extension.
  private static let programs: [(endings: String, what: String)] = [
    (".py .pyw .pyi .pyx", "Python source"),
    (".pyc .pyo", "compiled Python"),
    (".pyd .so .dll .dylib .exe .com .scr .msi", "a program or library"),
    (".sh .bash .zsh .fish .bat .cmd .ps1 .vbs .js .jar .lua .rb .pl", "a script"),
  ]

  /// The kind of program, by name; nil if it is not a program. A text file named .pth is one:
  /// Python runs its `import` lines if it is in a module directory.
  static func program(_ path: String, _ file: MappedFile, _ range: Range<Int>) -> String? {
    let name = path.lowercased()
    for (endings, what) in programs
    where endings.split(separator: " ").contains(where: {
      name.utf8.ends(with: $0.description.utf8)
    }) {
      return what
    }
    guard name.utf8.ends(with: ".pth".utf8) else { return nil }
    let lines = Content.head(of: file, range, count: 64 << 10).split(separator: 0x0A)
    let isCode = lines.contains {
      $0.starts(with: "import ".utf8) || $0.starts(with: "import\t".utf8)
    }
    return isCode ? "Python's lines of import" : nil
  }

  /// Whether HDF5 data begins after a user block, whose length is a power of two.
  ///
  /// Source: the HDF5 File Format Specification, II.A, the superblock.
  static func isHierarchical(_ file: MappedFile, _ range: Range<Int>) -> Bool {
    var start = 512
    while start + 8 <= range.count {
      let place = range.lowerBound + start
      let head = Content.head(of: file, place..<range.upperBound, count: 8)
      if head == [0x89, 0x48, 0x44, 0x46, 0x0D, 0x0A, 0x1A, 0x0A] { return true }
      start *= 2
    }
    return false
  }

  /// The offset of the first nonzero byte; nil if all are zero.
  static func firstByte(of file: MappedFile, _ range: Range<Int>) -> Int? {
    guard !range.isEmpty else { return nil }
    return unsafe file.withBytes(in: range) { bytes in
      unsafe bytes.firstIndex { $0 != 0 }.map { range.lowerBound + $0 }
    }
  }
}
