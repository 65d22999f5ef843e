/// Looks a file through for pickles, and for what they would import and call: on its own, behind
/// another format's header, in archives and in archives in archives.
///
/// It finds names where readers refuse the file: before the end of one that is cut short, in records
/// whose checksums or headers are wrong, behind a STOP. It reads what unpickling could reach, and not
/// the values of tensors.
struct SafetyScan {
  /// Archives in archives, files in strings: how many levels are looked into.
  static let depthLimit = 8
  /// The most records of all archives together.
  private static let recordLimit = 262_144
  /// The most bytes of one record that are unpacked into memory, and of all together.
  private static let unpackedLimit = 32 << 20

  private(set) var safety = Safety()
  /// Whether the file itself runs as a pickle to a STOP.
  private(set) var hasPickle = false
  /// Whether it is an archive as PyTorch writes them.
  private(set) var hasCheckpoint = false
  private var recordsLeft = SafetyScan.recordLimit
  private var bytesLeft: Int

  /// Looks a file through.
  static func scan(_ file: MappedFile) -> SafetyScan {
    var scan = SafetyScan(bytesLeft: (64 << 20) + 4 * file.count)
    let whole = 0..<file.count
    scan.look(into: file, whole, Content(file, whole), Place(), depth: 0)
    return scan
  }

  private init(bytesLeft: Int) {
    self.bytesLeft = bytesLeft
  }

  /// Where what is looked at lies: the record, and where it begins in the file if its own offsets are
  /// none of the file's.
  private struct Place {
    var record: String?
    var offset: Int?

    func offset(_ own: Int) -> Int { offset ?? own }

    func inside(_ name: String) -> Place {
      Place(record: record.map { "\($0)/\(name)" } ?? name, offset: offset)
    }

    /// The record, or the file itself, as the beginning of a sentence.
    var spoken: String { record.map { "\($0): " } ?? "" }
  }

  // MARK: Contents

  private mutating func look(
    into file: MappedFile, _ range: Range<Int>, _ content: Content, _ place: Place, depth: Int
  ) {
    guard depth <= SafetyScan.depthLimit else {
      safety.add(
        note: "\(place.spoken)archives are nested more than \(SafetyScan.depthLimit) deep; what is "
          + "deeper was not looked into")
      return
    }
    switch content {
    case .zip: lookIntoZip(file, range, place, depth: depth)
    case .tar: lookIntoTar(file, range, place, depth: depth)
    case .numpy: lookIntoArray(file, range, place, depth: depth)
    case .closed(let what):
      safety.add(note: "\(place.spoken)\(what) was not looked into")
    case .pickle, .other: break
    }
    // Whatever its first bytes say, a file may be a pickle too.
    lookForPickle(file, range, place, isGuess: content != .pickle, depth: depth)
    // Python finds an archive by its end, whatever stands before it.
    if content == .pickle || content == .other, ZipSurvey.hasEnd(file, range) {
      lookIntoZip(file, range, place, depth: depth)
    }
  }

  /// - Parameter isGuess: whether nothing says that the bytes are a pickle.
  private mutating func lookForPickle(
    _ file: MappedFile, _ range: Range<Int>, _ place: Place, isGuess: Bool, depth: Int
  ) {
    var scanner = PickleScanner(file, isGuess: isGuess)
    scanner.scan(range)
    if depth == 0, place.record == nil, scanner.count > 0 { hasPickle = true }
    // Lines of a text name classes by chance; calls of them and a proper end do not come so.
    if isGuess, scanner.count == 0, scanner.loads.isEmpty,
      !scanner.found.contains(where: { $0.isUsed && !$0.isKnown })
    {
      return
    }
    for found in scanner.found where !found.isKnown {
      safety.add(
        Safety.Name(
          name: found.global.spoken, offset: place.offset(found.offset), danger: found.danger,
          record: place.record))
    }
    if !isGuess, scanner.count == 0, let fault = scanner.fault {
      safety.add(
        note: "\(place.spoken)the pickle cannot be read beyond byte "
          + "\(place.offset(fault.offset ?? range.lowerBound)): \(fault.message)")
    }
    // The bytes of a nested file are looked into as what they are.
    let loaded = Set(scanner.loads.compactMap { $0.argument?.offset })
    for bytes in scanner.inner where !loaded.contains(bytes.offset) {
      note(bytes, of: file, place, depth: depth)
    }
    for load in scanner.loads { look(into: load, of: scanner, place, depth: depth) }
  }

  /// Says of bytes that are a pickle of their own what that names. Unpickling the file makes bytes of
  /// them and no more; but the program that put them there may unpickle them.
  private mutating func note(
    _ bytes: PickleScanner.Constant, of file: MappedFile, _ place: Place, depth: Int
  ) {
    guard depth < SafetyScan.depthLimit else { return }
    var scanner = PickleScanner(file, isGuess: true)
    scanner.scan(bytes.offset..<(bytes.offset + bytes.count))
    guard scanner.count > 0 else { return }
    for inner in scanner.inner { note(inner, of: file, place, depth: depth + 1) }
    let names = scanner.found.filter { !$0.isKnown }
    guard let name = names.first(where: { $0.danger != nil }) ?? names.first else { return }
    safety.add(
      note: "\(place.spoken)the bytes at \(place.offset(bytes.offset)) are a pickle of their own, "
        + "which names \(name.global.spoken)\(name.danger.map { " (\($0))" } ?? ""); unpickling the "
        + "file does not run it")
  }

  /// Looks into the bytes that `torch.storage._load_from_bytes` would load as a file.
  private mutating func look(
    into load: PickleScanner.Load, of scanner: PickleScanner, _ place: Place, depth: Int
  ) {
    let name = "torch.storage._load_from_bytes"
    let offset = place.offset(load.offset)
    func add(_ danger: String) {
      safety.add(Safety.Name(name: name, offset: offset, danger: danger, record: place.record))
    }
    guard let argument = load.argument else {
      return add("unpickles bytes that the pickle computes")
    }
    guard depth < SafetyScan.depthLimit, argument.count <= bytesLeft,
      let bytes = scanner.contents(of: argument, limit: SafetyScan.unpackedLimit * 8)
    else { return add("unpickles bytes that were not looked into") }
    bytesLeft -= argument.count
    let inner = MappedFile(contents: bytes, path: scanner.file.path)
    var nested = place
    nested.offset = offset
    look(
      into: inner, 0..<inner.count, Content(inner, 0..<inner.count), nested.inside("bytes"),
      depth: depth + 1)
  }

  // MARK: Archives

  private mutating func lookIntoZip(
    _ file: MappedFile, _ range: Range<Int>, _ place: Place, depth: Int
  ) {
    var survey = ZipSurvey(file, range)
    survey.find(limit: recordsLeft)
    recordsLeft -= survey.records.count
    if depth == 0, survey.hasCheckpoint { hasCheckpoint = true }
    if survey.isPartial {
      safety.add(note: "\(place.spoken)the archive has too many records, not all were looked into")
    }
    for record in survey.records {
      let inner = place.inside(record.name)
      if record.name == "model.weights.h5" || record.name.hasSuffix(".h5") {
        safety.add(note: "\(inner.spoken)HDF5 data was not looked into")
        continue
      }
      switch record.method {
      case 0:
        look(into: file, record.range, Content(file, record.range), inner, depth: depth + 1)
      case 8: lookIntoDeflated(file, record, inner, depth: depth)
      default:
        safety.add(
          note: "\(inner.spoken)compressed by method \(record.method), was not looked into")
      }
      if record.isEncrypted { safety.add(note: "\(inner.spoken)encrypted, was not looked into") }
    }
  }

  private mutating func lookIntoDeflated(
    _ file: MappedFile, _ record: ZipSurvey.Record, _ place: Place, depth: Int
  ) {
    let limit = min(SafetyScan.unpackedLimit, bytesLeft)
    let result = unsafe file.withBytes(in: record.range) {
      unsafe Inflate.beginning($0, limit: limit)
    }
    bytesLeft -= result.bytes.count
    if !result.isWhole, result.bytes.count >= limit {
      safety.add(note: "\(place.spoken)only its first \(limit) bytes were looked into")
    }
    let inner = MappedFile(contents: result.bytes, path: file.path)
    var place = place
    place.offset = place.offset(record.range.lowerBound)
    look(into: inner, 0..<inner.count, Content(inner, 0..<inner.count), place, depth: depth + 1)
  }

  private mutating func lookIntoTar(
    _ file: MappedFile, _ range: Range<Int>, _ place: Place, depth: Int
  ) {
    var isTorch = false
    for member in TarSurvey.members(of: file, range, limit: recordsLeft) {
      recordsLeft -= 1
      let inner = place.inside(member.name)
      if ["storages", "tensors"].contains(member.name) { isTorch = true }
      look(into: file, member.range, Content(file, member.range), inner, depth: depth + 1)
    }
    // PyTorch's own tar has many pickles in a member, with numbers between them.
    guard isTorch, range == 0..<file.count else { return }
    for start in TorchTar.pickleStarts(in: file) {
      lookForPickle(file, start, place, isGuess: false, depth: depth)
    }
  }

  /// An array of objects is a pickle behind its header.
  private mutating func lookIntoArray(
    _ file: MappedFile, _ range: Range<Int>, _ place: Place, depth: Int
  ) {
    let head = Content.head(of: file, range, count: 12)
    guard head.count == 12 else { return }
    let isLong = head[6] >= 2
    let length =
      Int(head[8]) | Int(head[9]) << 8
      | (isLong ? Int(head[10]) << 16 | Int(head[11]) << 24 : 0)
    let start = range.lowerBound + (isLong ? 12 : 10)
    guard length <= range.upperBound - start else { return }
    let header = unsafe file.withBytes(in: start..<(start + length)) {
      unsafe $0.contains(UInt8(ascii: "O"))
    }
    let values = (start + length)..<range.upperBound
    if header { lookForPickle(file, values, place, isGuess: false, depth: depth) }
  }
}

/// What bytes are, as far as it decides how they are looked into.
enum Content: Hashable {
  case zip
  case tar
  case numpy
  /// What begins as pickles of protocol 2 and later do.
  case pickle
  /// What is not looked into, in words.
  case closed(String)
  case other

  private static let closed: [(magic: [UInt8], what: String)] = [
    ([0x37, 0x7A, 0xBC, 0xAF, 0x27, 0x1C], "a 7z archive"),
    (Array("Rar!".utf8), "a RAR archive"),
    ([0x1F, 0x8B], "gzip data"),
    (Array("BZh".utf8), "bzip2 data"),
    ([0xFD] + Array("7zXZ".utf8), "xz data"),
    ([0x28, 0xB5, 0x2F, 0xFD], "Zstandard data"),
    ([0x89, 0x48, 0x44, 0x46, 0x0D, 0x0A, 0x1A, 0x0A], "HDF5 data (as Keras writes)"),
    ([0x7F] + Array("ELF".utf8), "a program"),
  ]

  init(_ file: MappedFile, _ range: Range<Int>) {
    let head = Content.head(of: file, range, count: 512)
    if head.starts(with: [0x50, 0x4B, 3, 4]) || head.starts(with: [0x50, 0x4B, 5, 6]) {
      self = .zip
    } else if head.starts(with: [0x93] + Array("NUMPY".utf8)) {
      self = .numpy
    } else if head.count >= 262, head[257..<262].elementsEqual("ustar".utf8) {
      self = .tar
    } else if head.count >= 2, head[0] == 0x80, head[1] <= 5 {
      self = .pickle
    } else if let closed = Content.closed.first(where: { head.starts(with: $0.magic) }) {
      self = .closed(closed.what)
    } else {
      self = .other
    }
  }

  static func head(of file: MappedFile, _ range: Range<Int>, count: Int) -> [UInt8] {
    let end = min(range.upperBound, range.lowerBound + count)
    return unsafe file.withBytes(in: range.lowerBound..<end) { unsafe [UInt8]($0) }
  }
}
