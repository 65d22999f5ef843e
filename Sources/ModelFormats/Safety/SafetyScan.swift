import OrderedJSON

/// Scans a file for pickles and what they would import and call: at its start, after another
/// format's header, in archives and in nested archives.
///
/// It finds names in files that readers reject: before a truncation, in records with wrong
/// checksums or headers, after a STOP. It reads what unpickling could reach, and not the values of
/// tensors.
struct SafetyScan {
  /// The maximum depth of archives in archives and files in strings.
  static let depthLimit = 8
  /// The maximum number of records in all archives.
  private static let recordLimit = 262_144
  /// The maximum bytes unpacked into memory, per record and in total.
  private static let unpackedLimit = 32 << 20

  private(set) var safety = Safety()
  /// Whether the file itself is a pickle that reaches its STOP.
  private(set) var hasPickle = false
  /// Whether it is a PyTorch archive.
  private(set) var hasCheckpoint = false
  private var recordsLeft = SafetyScan.recordLimit
  private var bytesLeft: Int

  /// Scans a file.
  static func scan(_ file: MappedFile) -> SafetyScan {
    var scan = SafetyScan(bytesLeft: (64 << 20) + 4 * file.count)
    let whole = 0..<file.count
    scan.look(into: file, whole, Content(file, whole), Place(), depth: 0)
    return scan
  }

  private init(bytesLeft: Int) {
    self.bytesLeft = bytesLeft
  }

  /// The location of the scanned data: the record, and its start in the file if its offsets are not
  /// file offsets.
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
          + "deeper was not searched")
      return
    }
    switch content {
    case .zip: lookIntoZip(file, range, place, depth: depth)
    case .numpy: lookIntoArray(file, range, place, depth: depth)
    case .closed(let what):
      safety.add(note: "\(place.spoken)\(what) was not searched")
    case .tar, .pickle, .other: break
    }
    note(code: place.record ?? file.path, file, range, place, content)
    // The name of the first member may look like another format's magic number.
    if content == .tar || TarSurvey.isHeader(Content.head(of: file, range, count: 512)) {
      lookIntoTar(file, range, place, depth: depth)
    }
    // A file may also be a pickle, whatever its first bytes.
    let isPickle =
      content == .pickle
      || content == .other && SafetyScan.isNamedAsPickle(place.record ?? file.path)
    lookForPickle(
      file, range, place, isGuess: !isPickle, isSure: content == .pickle,
      isPart: content != .pickle && content != .other, depth: depth)
    // Python finds an archive by its end, whatever precedes it.
    if content != .zip, ZipSurvey.hasEnd(file, range) {
      lookIntoZip(file, range, place, depth: depth)
    }
  }

  /// Whether a file or record is named like a pickle, or like a checkpoint that may be one.
  private static func isNamedAsPickle(_ path: String) -> Bool {
    let name = path.lowercased()
    let endings = [".pkl", ".pickle", ".p", ".joblib", ".dill"] + FormatDescriptor.zip.endings
    return endings.contains(where: name.hasSuffix) || name == "pickle" || name.hasSuffix("/pickle")
  }

  /// - Parameters:
  ///   - isGuess: whether nothing proves that the bytes are a pickle.
  ///   - isSure: whether more than the name indicates a pickle.
  ///   - isPart: whether the data after the pickle belongs to a known format.
  private mutating func lookForPickle(
    _ file: MappedFile, _ range: Range<Int>, _ place: Place, isGuess: Bool, isSure: Bool = true,
    isPart: Bool = false, depth: Int
  ) {
    var scanner = PickleScanner(file, isGuess: isGuess)
    scanner.scan(range)
    if depth == 0, place.record == nil, scanner.count > 0 { hasPickle = true }
    // Text lines may look like class names by chance, but not like calls and a proper end.
    if isGuess, scanner.count == 0, scanner.loads.isEmpty, scanner.doubts.isEmpty,
      !scanner.isIncomplete,
      !scanner.found.contains(where: { $0.isUsed && !$0.isKnown })
    {
      // Importing runs code: a harmful module acts without a call.
      for found in scanner.found {
        guard let danger = found.global.dangerOfModule else { continue }
        safety.add(
          Safety.Name(
            name: found.global.spoken, offset: place.offset(found.offset), danger: danger,
            record: place.record))
      }
      return
    }
    for found in scanner.found where !found.isKnown && (found.isUsed || !found.isChance) {
      safety.add(
        Safety.Name(
          name: found.global.spoken, offset: place.offset(found.offset), danger: found.danger,
          record: place.record))
    }
    for doubt in scanner.doubts { safety.add(note: "\(place.spoken)\(doubt)") }
    if scanner.isIncomplete {
      safety.add(
        note:
          "\(place.spoken)the pickle has more values than are remembered; what it names cannot be "
          + "told for certain")
    }
    if isSure || !scanner.found.isEmpty || scanner.count > 0, let fault = scanner.toldFault {
      safety.add(
        note: "\(place.spoken)the pickle cannot be read beyond byte "
          + "\(place.offset(fault.offset ?? range.lowerBound)): \(fault.message)")
    }
    // The bytes of a nested file are scanned by their own type.
    let loaded = Set(scanner.loads.compactMap { $0.argument?.offset })
    for bytes in scanner.inner where !loaded.contains(bytes.offset) {
      note(bytes, of: file, place, depth: depth)
    }
    var seen: Set<Range<Int>> = []
    for load in scanner.loads {
      if let argument = load.argument {
        let bytes = argument.offset..<(argument.offset + argument.count)
        guard seen.insert(bytes).inserted else { continue }
      }
      look(into: load, of: scanner, place, depth: depth)
    }
    guard scanner.count > 0, !isPart else { return }
    let (end, isLegacy) = (scanner.end, scanner.isLegacy)
    // Free its memory first.
    scanner = PickleScanner(file, isGuess: true)
    lookBehind(file, range, end: end, isLegacy: isLegacy, place, depth: depth)
  }

  /// Scans the data after a file's pickles as a separate file: programs that read several objects
  /// from one file reach it.
  private mutating func lookBehind(
    _ file: MappedFile, _ range: Range<Int>, end: Int, isLegacy: Bool, _ place: Place, depth: Int
  ) {
    var end = end
    if isLegacy, end < range.upperBound {
      guard let storagesEnd = TorchLegacy.end(in: file, range) else {
        return safety.add(
          note: "\(place.spoken)what follows the pickles from byte \(place.offset(end)) on was not "
            + "looked into as files of their own")
      }
      end = storagesEnd
    }
    guard end < range.upperBound else { return }
    look(
      into: file, end..<range.upperBound, Content(file, end..<range.upperBound),
      place.inside("rest"), depth: depth + 1)
  }

  /// Reports the names in bytes that are themselves a pickle. Unpickling the file only creates the
  /// bytes, but the program that stored them may unpickle them.
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
        + "which names \(name.global.spoken)\(name.danger.map { " (\($0))" } ?? ""); they are data to "
        + "the pickle around them, but whatever reads the object may unpickle them")
  }

  /// Scans the bytes that `torch.storage._load_from_bytes` would load as a file.
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
    guard depth < SafetyScan.depthLimit, max(64, argument.count) <= bytesLeft,
      let bytes = scanner.contents(of: argument, limit: SafetyScan.unpackedLimit * 8)
    else { return add("unpickles bytes that were not searched") }
    bytesLeft -= max(64, argument.count)
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
      safety.add(note: "\(place.spoken)the archive has too many records, not all were searched")
    }
    if survey.isCut {
      safety.add(
        note:
          "\(place.spoken)the archive has no directory; only the records that follow one another "
          + "from its beginning were searched")
    }
    if survey.isOutside {
      safety.add(
        note: "\(place.spoken)the archive's directory names records that lie outside it")
    }
    for record in survey.records {
      let inner = place.inside(record.name)
      if record.name == "model.weights.h5" || record.name.hasSuffix(".h5") {
        safety.add(note: "\(inner.spoken)HDF5 data was not searched")
        continue
      }
      let isStorage = survey.isStorage(record.name)
      switch record.method {
      case 0: lookIntoStored(file, record.range, inner, isStorage: isStorage, depth: depth)
      case 8: lookIntoDeflated(file, record, inner, isStorage: isStorage, depth: depth)
      default:
        safety.add(
          note: "\(inner.spoken)compressed by method \(record.method), was not searched")
      }
      if record.isEncrypted { safety.add(note: "\(inner.spoken)encrypted, was not searched") }
    }
  }

  /// Scans a part of the file, which may overlap with others.
  private mutating func lookIntoStored(
    _ file: MappedFile, _ range: Range<Int>, _ place: Place, isStorage: Bool = false, depth: Int
  ) {
    let content = Content(file, range)
    if isStorage, ![.numpy, .pickle, .zip].contains(content) { return }
    guard range.count <= bytesLeft else {
      return safety.add(
        note:
          "\(place.spoken)was not searched: the records together are far longer than the file")
    }
    bytesLeft -= range.count
    if isStorage, content == .pickle {
      // Values sometimes begin like a pickle.
      return lookForPickle(file, range, place, isGuess: true, depth: depth + 1)
    }
    look(into: file, range, content, place, depth: depth + 1)
  }

  /// The bytes unpacked first, to decide whether more are needed.
  private static let headLength = 64 << 10

  private mutating func lookIntoDeflated(
    _ file: MappedFile, _ record: ZipSurvey.Record, _ place: Place, isStorage: Bool, depth: Int
  ) {
    func unpacked(_ limit: Int) -> (file: MappedFile, isWhole: Bool, isDamaged: Bool) {
      let result = unsafe file.withBytes(in: record.range) {
        unsafe Inflate.beginning($0, limit: limit)
      }
      bytesLeft -= result.bytes.count
      return (
        MappedFile(contents: result.bytes, path: file.path), result.isWhole, result.isDamaged
      )
    }
    var limit = min(SafetyScan.headLength, bytesLeft)
    var inner = unpacked(limit)
    let isPlain = Content.isPlainArray(inner.file, 0..<inner.file.count)
    let content = Content(inner.file, 0..<inner.file.count)
    if isStorage, limit > 512, ![.numpy, .pickle, .zip].contains(content) { return }
    if !inner.isWhole, !inner.isDamaged, !isPlain {
      limit = min(SafetyScan.unpackedLimit, bytesLeft)
      inner = unpacked(limit)
      if !inner.isWhole, !inner.isDamaged {
        safety.add(note: "\(place.spoken)only its first \(limit) bytes were searched")
      }
    }
    // PyTorch's reader unpacks data that zlib rejects.
    if inner.isDamaged {
      safety.add(
        note: "\(place.spoken)its data cannot be unpacked beyond its first "
          + "\(inner.file.count.of("byte")), as other readers may")
    }
    var place = place
    place.offset = place.offset(record.range.lowerBound)
    let whole = 0..<inner.file.count
    if isStorage, content == .pickle {
      return lookForPickle(inner.file, whole, place, isGuess: true, depth: depth + 1)
    }
    look(into: inner.file, whole, Content(inner.file, whole), place, depth: depth + 1)
  }

  private mutating func lookIntoTar(
    _ file: MappedFile, _ range: Range<Int>, _ place: Place, depth: Int
  ) {
    let survey = TarSurvey(file, range, limit: recordsLeft)
    if let doubt = survey.doubt { safety.add(note: "\(place.spoken)\(doubt)") }
    var isTorch = survey.hasOtherNames
    for member in survey.members {
      recordsLeft -= 1
      if ["storages", "tensors"].contains(member.name) { isTorch = true }
      lookIntoStored(file, member.range, place.inside(member.name), depth: depth)
    }
    // PyTorch's tar format has several pickles per member, with numbers between them.
    defer {
      if let rest = Content.firstByte(of: file, survey.end..<range.upperBound) {
        let start = survey.end + (rest - survey.end) / 512 * 512
        look(
          into: file, start..<range.upperBound, Content(file, start..<range.upperBound),
          place.inside("rest"), depth: depth + 1)
      }
    }
    guard isTorch else { return }
    let pickles = TorchTar.pickleStarts(in: file, range)
    for start in pickles.ranges {
      lookForPickle(file, start, place, isGuess: false, isPart: true, depth: depth)
    }
    if !pickles.isWhole {
      safety.add(note: "\(place.spoken)the storages and tensors were not searched to their end")
    }
  }

  /// An object array is a pickle after its header.
  private mutating func lookIntoArray(
    _ file: MappedFile, _ range: Range<Int>, _ place: Place, depth: Int
  ) {
    var rest = range
    while let header = Content.arrayHeader(of: file, rest) {
      let values = header.upperBound..<range.upperBound
      guard let length = ArrayHeader(file, header).length else {
        return lookForPickle(file, values, place, isGuess: false, depth: depth)
      }
      // Data that other programs may unpickle.
      lookForPickle(file, values, place, isGuess: true, isPart: true, depth: depth)
      guard length < values.count else { return }
      // Programs that read several objects from one file reach the rest.
      rest = (values.lowerBound + length)..<range.upperBound
      let content = Content(file, rest)
      guard content == .numpy else {
        return look(into: file, rest, content, place.inside("rest"), depth: depth + 1)
      }
    }
    safety.add(note: "\(place.spoken)the header of an array cannot be read")
  }

  // MARK: Code

  /// Reports programs, which are not scanned.
  private mutating func note(
    code path: String, _ file: MappedFile, _ range: Range<Int>, _ place: Place, _ content: Content
  ) {
    if let what = Content.program(path, file, range) {
      safety.add(note: "\(place.spoken)\(what): it is code, and was not searched")
    }
    if content != .closed(Content.hierarchical),
      Content.isHierarchical(file, range)
        || path.lowercased().utf8.ends(with: ".h5".utf8) && content == .other
    {
      safety.add(note: "\(place.spoken)\(Content.hierarchical) was not searched")
    }
  }
}
