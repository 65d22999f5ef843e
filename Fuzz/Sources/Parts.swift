import OrderedJSON

@testable import FlatFormat
@testable import ModelFormats

/// A zip archive alone: its directory, and what its records inflate to.
func fuzzZip(_ bytes: [UInt8]) {
  let file = MappedFile(contents: bytes, path: "input")
  do throws(FormatError) {
    let archive = try ZipArchive(file)
    var left = 4 << 20
    for entry in archive.entries {
      require(
        entry.dataOffset >= 0 && entry.dataEnd <= bytes.count && entry.dataEnd >= entry.dataOffset,
        "\(entry.name): \(entry.dataOffset)..<\(entry.dataEnd) of \(bytes.count)")
      require(archive[entry.name]?.headerOffset == entry.headerOffset, "\(entry.name): not found")
      guard entry.size <= left else { continue }
      left -= entry.size
      do throws(FormatError) {
        let contents = try archive.contents(of: entry, limit: 1 << 20)
        require(contents.count == entry.size, "\(entry.name): \(contents.count) bytes")
      } catch {
        check(error, in: bytes.count)
      }
    }
    let sorted = archive.entries.sorted { $0.headerOffset < $1.headerOffset }
    for (entry, next) in zip(sorted, sorted.dropFirst()) {
      require(entry.dataEnd <= next.headerOffset, "\(entry.name) overlaps \(next.name)")
    }
  } catch {
    check(error, in: bytes.count)
  }
}

/// The pickle machine alone, and the traversal of its result.
func fuzzPickle(_ bytes: [UInt8]) {
  do throws(FormatError) {
    let pickle = try PickleMachine.run(bytes.span.bytes, base: 0)
    require(pickle.byteCount > 0 && pickle.byteCount <= bytes.count, "\(pickle.byteCount) bytes")
    require(pickle.nodes.count <= bytes.count, "\(pickle.nodes.count) nodes")
    func check(_ values: [PickleValue]) {
      for case .node(let index) in values {
        require(pickle.nodes.indices.contains(index), "node \(index) of \(pickle.nodes.count)")
      }
    }
    check([pickle.root])
    var values = 0
    for node in pickle.nodes {
      check(node.items)
      check(node.pairs)
      check(node.states)
      values += node.items.count + node.pairs.count + node.states.count
      require(node.offset >= 0 && node.offset < bytes.count, "a node at \(node.offset)")
      require(node.pairs.count.isMultiple(of: 2), "a key without a value")
    }
    // Calls copy a bounded amount out of containers; see copyLimit.
    require(values <= 65536 + 8 * bytes.count, "\(values) values")
    checkScanner(bytes, names: pickle.globals.map(\.global))
  } catch {
    check(error, in: bytes.count)
  }
}

/// Checks that the scanner finds every name that the machine finds.
private func checkScanner(_ bytes: [UInt8], names: [Pickle.Global]) {
  let file = MappedFile(contents: bytes, path: "input")
  var scanner = PickleScanner(file, isGuess: false)
  scanner.scan(0..<bytes.count)
  require(scanner.count > 0, "the scanner ends before STOP: \(String(describing: scanner.fault))")
  let found = Set(scanner.found.map(\.global))
  // Longer names are shown only by their length.
  for name in names where name.module.utf8.count <= 4096 && name.name.utf8.count <= 4096 {
    require(found.contains(name), "the scanner does not find \(name.spoken)")
  }
}

/// What unpickling a file would run, whatever the file is; and an archive around it.
func fuzzSafety(_ bytes: [UInt8]) {
  for contents in [bytes, StoredArchive.checkpoint(pickle: bytes[...], form: 0)] {
    let file = MappedFile(contents: contents, path: "input")
    let safety = SafetyScan.scan(file).safety
    for name in safety.names {
      require(name.offset >= 0 && name.offset <= contents.count, "\(name.name) at \(name.offset)")
      require(!name.name.isEmpty, "an empty name")
    }
    let dangers = safety.names.map { $0.danger != nil }
    require(dangers == dangers.filter { $0 } + dangers.filter { !$0 }, "a hidden danger")
    require((safety.verdict == .dangerous) == dangers.contains(true), "\(safety.verdict)")
    require(
      (safety.verdict == .safe) == (dangers.isEmpty && safety.notes.isEmpty), "\(safety.verdict)")
    _ = safety.sentences
  }
}

/// JSON: whatever parses survives a round trip through its own text, in both styles.
func fuzzJSON(_ bytes: [UInt8]) {
  do throws(JSONError) {
    let value = try JSON(parsing: bytes.span.bytes)
    for style in [JSON.Style.compact, .indented] {
      let again = try? JSON(parsing: value.text(style))
      require(again == value.withoutInfinities, "\(style) text reads back as something else")
    }
  } catch {
    require(error.offset >= 0 && error.offset <= bytes.count, "an error at \(error.offset)")
  }
}

extension JSON {
  /// Numbers that JSON cannot write are written as null.
  fileprivate var withoutInfinities: JSON {
    switch self {
    case .number(let value) where !value.isFinite: return .null
    case .array(let elements): return .array(elements.map(\.withoutInfinities))
    case .object(let object):
      var result = JSONObject()
      for member in object.members { result[member.key] = member.value.withoutInfinities }
      return .object(result)
    default: return self
    }
  }
}

/// The header of a .sdflat file, and the regions that it names. Its checksum would keep changed
/// headers out, so the header is parsed as the file's opener does after the checksum.
func fuzzFlatHeader(_ bytes: [UInt8]) {
  guard let first = bytes.first else { return }
  let length = Int(first) << 6
  let text = Array(bytes.dropFirst())
  guard let object = (try? JSON(parsing: text.span.bytes))?.object else { return }
  do throws(FormatError) {
    let header = try FlatHeader(object, dataLength: length)
    var regions = header.files.map(\.region)
    for component in header.components { regions += component.tensors.map(\.region) }
    var end = 0
    for region in regions {
      require(region.offset >= end && region.byteCount >= 0, "a region at \(region.offset)")
      end = region.offset + region.byteCount
    }
    require(end <= length, "regions of \(end) bytes in \(length)")
    _ = header.json
  } catch {
    require(!error.message.isEmpty, "an error without a message")
  }
}
