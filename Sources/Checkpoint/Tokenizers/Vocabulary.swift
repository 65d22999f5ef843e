import ModelFormats
import OrderedJSON

/// The tokens of a byte-pair model and their ids, looked up by the UTF-8 bytes of a token.
///
/// A hash table over one byte array: comparing strings would normalize some 150,000 of them
/// before the first prompt is read.
package struct Vocabulary: Sendable {
  private var bytes: [UInt8] = []
  /// The start of each token's bytes, and at the end the end of the last one's.
  private var starts: [Int] = [0]
  private var ids: [Int32] = []
  /// Indices into `ids`, -1 where free; the size is a power of two at least twice the count.
  private var slots: [Int32]
  /// The index of the token with the highest id; nil if there is none.
  private var highest: Int?

  /// - Parameters:
  ///   - members: the tokens and their ids, each token once.
  ///   - context: the file that they come from, for errors.
  /// - Throws: ``FormatError`` `malformed` unless every member is a token with an id from 0 to
  ///   below 2^31.
  package init(
    _ members: [JSONObject.Member], context: String = "vocab.json"
  ) throws(FormatError) {
    var size = 64
    while size < members.count * 2 { size *= 2 }
    slots = [Int32](repeating: -1, count: size)
    ids.reserveCapacity(members.count)
    starts.reserveCapacity(members.count + 1)
    for member in members {
      guard let id = member.value.int, let id = Int32(exactly: id), id >= 0 else {
        throw FormatError(
          .malformed, "the id of the token \"\(member.key)\" is not a token id", context: context)
      }
      bytes.append(contentsOf: member.key.utf8)
      insert(bytes[starts[ids.count]...], id: id)
    }
  }

  private mutating func insert(_ token: ArraySlice<UInt8>, id: Int32) {
    var slot = Self.hash(token) & (slots.count - 1)
    while slots[slot] >= 0 { slot = (slot + 1) & (slots.count - 1) }
    slots[slot] = Int32(ids.count)
    if highest.map({ ids[$0] < id }) ?? true { highest = ids.count }
    ids.append(id)
    starts.append(bytes.count)
  }

  /// The number of tokens.
  package var count: Int { ids.count }

  /// The token with the highest id.
  var highestToken: (text: String, id: Int32)? {
    highest.map { (String(decoding: bytes[starts[$0]..<starts[$0 + 1]], as: UTF8.self), ids[$0]) }
  }

  /// Whether any token ends in `suffix`.
  func hasToken(endingIn suffix: String) -> Bool {
    let suffix = Array(suffix.utf8)
    return ids.indices.contains {
      bytes[starts[$0]..<starts[$0 + 1]].suffix(suffix.count) == suffix[...]
    }
  }

  /// The id of the token spelled by these bytes.
  package func id(of token: some Collection<UInt8>) -> Int32? {
    var slot = Self.hash(token) & (slots.count - 1)
    while slots[slot] >= 0 {
      let index = Int(slots[slot])
      if bytes[starts[index]..<starts[index + 1]].elementsEqual(token) { return ids[index] }
      slot = (slot + 1) & (slots.count - 1)
    }
    return nil
  }

  /// FNV-1a, with the high bits folded into those that select a slot.
  private static func hash(_ token: some Collection<UInt8>) -> Int {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for byte in token { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
    return Int(truncatingIfNeeded: hash ^ (hash >> 29))
  }
}
