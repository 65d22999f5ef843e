import CZlib

/// Writes valid zip archives of stored and deflated records around the fuzzed part.
struct StoredArchive {
  private(set) var records: [UInt8] = []
  private var directory: [UInt8] = []
  private var count: UInt16 = 0

  mutating func add(_ name: String, _ contents: some Collection<UInt8>, isDeflated: Bool = false) {
    let contents = Array(contents)
    let data = isDeflated ? StoredArchive.deflate(contents) : contents
    let offset = records.count
    var fields: [UInt8] = []
    append(UInt16(0), to: &fields)
    append(UInt16(isDeflated ? 8 : 0), to: &fields)
    append(UInt32(0), to: &fields)
    append(UInt32(crc32_z(0, contents, z_size_t(contents.count))), to: &fields)
    append(UInt32(data.count), to: &fields)
    append(UInt32(contents.count), to: &fields)
    append(UInt16(name.utf8.count), to: &fields)
    append(UInt16(0), to: &fields)
    records += Array("PK\u{3}\u{4}".utf8) + [20, 0] + fields + Array(name.utf8) + data
    directory += Array("PK\u{1}\u{2}".utf8) + [20, 0, 20, 0] + fields
    directory += [UInt8](repeating: 0, count: 10)
    append(UInt32(offset), to: &directory)
    directory += Array(name.utf8)
    count += 1
  }

  var bytes: [UInt8] {
    var end = Array("PK\u{5}\u{6}".utf8) + [0, 0, 0, 0]
    append(count, to: &end)
    append(count, to: &end)
    append(UInt32(directory.count), to: &end)
    append(UInt32(records.count), to: &end)
    return records + directory + end + [0, 0]
  }

  /// A checkpoint of the pickle and four storages: 24 and 64 bytes stored, 4096 deflated, none.
  ///
  /// - Parameter form: bit 0 makes the file big-endian, bit 1 deflates the pickle.
  static func checkpoint(pickle: some Collection<UInt8>, form: UInt8) -> [UInt8] {
    var archive = StoredArchive()
    archive.add("archive/data.pkl", pickle, isDeflated: form & 2 != 0)
    archive.add("archive/version", Array("3\n".utf8))
    archive.add("archive/byteorder", Array((form & 1 != 0 ? "big" : "little").utf8))
    archive.add("archive/data/0", [UInt8](0..<24))
    archive.add("archive/data/1", [UInt8](0..<64))
    archive.add("archive/data/2", [UInt8](repeating: 7, count: 4096), isDeflated: true)
    archive.add("archive/data/3", [])
    return archive.bytes
  }

  /// A member of a tar archive with its header.
  static func tarMember(_ name: String, _ contents: some Collection<UInt8>) -> [UInt8] {
    var header = [UInt8](repeating: 0, count: 512)
    func put(_ text: String, at offset: Int) {
      header.replaceSubrange(offset..<(offset + text.utf8.count), with: text.utf8)
    }
    put(name, at: 0)
    put(String(contents.count, radix: 8), at: 124)
    put("        ", at: 148)
    put("0", at: 156)
    put("ustar", at: 257)
    let sum = header.reduce(0) { $0 + Int($1) }
    put(String(sum, radix: 8) + "\0", at: 148)
    return header + contents + [UInt8](repeating: 0, count: (512 - contents.count % 512) % 512)
  }

  /// Raw deflate blocks of stored bytes.
  private static func deflate(_ bytes: [UInt8]) -> [UInt8] {
    var output: [UInt8] = []
    var rest = bytes[...]
    repeat {
      let piece = rest.prefix(0xFFFF)
      rest = rest.dropFirst(piece.count)
      output.append(rest.isEmpty ? 1 : 0)
      append(UInt16(piece.count), to: &output)
      append(~UInt16(piece.count), to: &output)
      output += piece
    } while !rest.isEmpty
    return output
  }
}

/// Appends the little-endian bytes of an integer.
func append<T: FixedWidthInteger>(_ value: T, to bytes: inout [UInt8]) {
  withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
}
