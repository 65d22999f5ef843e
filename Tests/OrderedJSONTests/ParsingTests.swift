import OrderedJSON
import Testing

@Suite struct ParsingTests {
  @Test(
    arguments: [
      ("null", .null), (" true\n", .bool(true)), ("false", .bool(false)), ("0", .integer(0)),
      ("-0", .integer(0)), ("9223372036854775807", .integer(.max)),
      ("-9223372036854775808", .integer(.min)),
      ("9223372036854775808", .number(9_223_372_036_854_775_808)),
      ("1.0", .number(1)), ("-1.5e-3", .number(-0.0015)), ("1E2", .number(100)), ("[]", []),
      ("[1,[2],\t{}]", [1, [2], [:]]), (#""""#, ""),
      (#""a\"\\\/\b\f\n\r\tz""#, "a\"\\/\u{8}\u{C}\n\r\tz"),
      (#""\u00e9\u03A9\ud834\udd1e""#, "éΩ𝄞"), ("\"éΩ𝄞\"", "éΩ𝄞"),
      (#""plain then \u0041""#, "plain then A"),
    ] as [(String, JSON)])
  func valueIsRead(text: String, value: JSON) throws {
    #expect(try JSON(parsing: text) == value)
  }

  @Test func membersKeepTheirOrder() throws {
    let json = try JSON(parsing: #"{"z": 1, "a": {"y": 2, "b": null}, "": 3}"#)
    #expect(json.object?.keys == ["z", "a", ""])
    #expect(json["a"]?.object?.keys == ["y", "b"])
    #expect(json["a"]?["b"]?.isNull == true)
    #expect(json["absent"] == nil)
  }

  @Test(
    arguments: [
      ("", .unexpectedEnd, 0), ("  ", .unexpectedEnd, 2), ("nul", .unexpectedEnd, 3),
      ("nulL", .unexpectedByte, 3), ("tru e", .unexpectedByte, 3), ("1 2", .trailingBytes, 2),
      ("{} x", .trailingBytes, 3), ("[1,]", .unexpectedByte, 3), ("[,1]", .unexpectedByte, 1),
      ("[1 2]", .unexpectedByte, 3), ("[1", .unexpectedEnd, 2), ("{\"a\"}", .unexpectedByte, 4),
      ("{\"a\":1,}", .unexpectedByte, 7), ("{a:1}", .unexpectedByte, 1),
      ("{\"a\":1", .unexpectedEnd, 6),
      ("01", .invalidNumber, 1), ("-", .invalidNumber, 1), ("1.", .invalidNumber, 2),
      ("1e", .invalidNumber, 2), (".5", .unexpectedByte, 0), ("+1", .unexpectedByte, 0),
      ("NaN", .unexpectedByte, 0), ("\"abc", .unexpectedEnd, 4), ("\"a\nb\"", .unexpectedByte, 2),
      (#""\x""#, .invalidEscape, 2), (#""\u12g4""#, .invalidEscape, 5),
      (#""\ud834""#, .invalidEscape, 7), (#""\ud834\u0041""#, .invalidEscape, 13),
      (#""\udd1e""#, .invalidEscape, 7), ("'a'", .unexpectedByte, 0),
      (#"{"a":1,"a":2}"#, .duplicateKey, 7), (#"{"a":1,"\u0061":2}"#, .duplicateKey, 7),
      (#"{"b":{"a":1,"a":2}}"#, .duplicateKey, 12),
    ] as [(String, JSONError.Reason, Int)])
  func malformedTextIsRefused(text: String, reason: JSONError.Reason, offset: Int) throws {
    let error = try #require(throws: JSONError.self) { try JSON(parsing: text) }
    #expect(error.reason == reason)
    #expect(error.offset == offset)
  }

  @Test(
    arguments: [
      ([0x22, 0xFF, 0x22], 1), ([0x22, 0xC3, 0x22], 1), ([0x22, 0x61, 0xED, 0xA0, 0x80, 0x22], 2),
      ([0x22, 0xC3, 0xA9, 0xC0, 0x80, 0x22], 3), ([0x80], 0),
    ] as [([UInt8], Int)])
  func textThatIsNotUTF8IsRefused(bytes: [UInt8], offset: Int) throws {
    let error = try #require(throws: JSONError.self) {
      try JSON(parsing: bytes.span.bytes)
    }
    #expect(error.reason == .invalidUTF8)
    #expect(error.offset == offset)
  }

  @Test func depthIsBounded() throws {
    func nested(_ depth: Int) -> String {
      String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
    }
    #expect(throws: Never.self) { try JSON(parsing: nested(65)) }
    #expect(throws: JSONError.self) { try JSON(parsing: nested(66)) }
    #expect(throws: JSONError.self) { try JSON(parsing: nested(100_000)) }
    #expect(throws: Never.self) { try JSON(parsing: nested(200), depthLimit: 200) }
  }

  /// As long as CLIP's vocabulary: 49408 members.
  @Test func largeObjectIsRead() throws {
    let text = "{" + (0..<49408).map { "\"word\($0)</w>\":\($0)" }.joined(separator: ", ") + "}"
    let json = try JSON(parsing: text)
    #expect(json.object?.members.count == 49408)
    #expect(json["word40000</w>"]?.int == 40000)
  }
}

@Suite struct KeyTests {
  /// One character, or a letter and an accent: Swift's strings are equal, the keys are not.
  @Test func keysThatLookAlikeAreTwo() throws {
    let json = try JSON(parsing: "{\"\u{E9}\": 1, \"e\u{301}\": 2}")
    #expect(json["\u{E9}"] == 1)
    #expect(json["e\u{301}"] == 2)
    #expect(json.object?.members.count == 2)
  }
}
