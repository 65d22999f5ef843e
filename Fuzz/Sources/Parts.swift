import OrderedJSON

@testable import Checkpoint
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

/// The pickle machine alone, and the walk of what it made.
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
    // What calls copied out of containers is bounded by the length, as copyLimit says.
    require(values <= 65536 + 8 * bytes.count, "\(values) values")
    _ = pickle.globalWarnings
  } catch {
    check(error, in: bytes.count)
  }
}

/// JSON: what parses reads back from its own text, in both styles.
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

/// The header of a flat file, and the regions that it names. Its checksum would keep changed
/// headers out, so the header is parsed as the file's opener does behind the checksum.
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
