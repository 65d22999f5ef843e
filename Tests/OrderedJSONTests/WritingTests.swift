import OrderedJSON
import Testing

@Suite struct WritingTests {
  static let value: JSON = [
    "z": [1, 2.5, nil, true], "empty": [:], "none": [], "a": ["k": "line\n\"quoted\"\\ \u{1}é"],
  ]

  @Test func compactTextHasNoSpace() {
    #expect(
      WritingTests.value.text(.compact)
        == #"{"z":[1,2.5,null,true],"empty":{},"none":[],"a":{"k":"line\n\"quoted\"\\ \u0001é"}}"#)
  }

  @Test func indentedTextHasAMemberALine() {
    #expect(
      WritingTests.value.text(.indented) == #"""
        {
          "z": [
            1,
            2.5,
            null,
            true
          ],
          "empty": {},
          "none": [],
          "a": {
            "k": "line\n\"quoted\"\\ \u0001é"
          }
        }
        """#)
  }

  @Test(arguments: [JSON.Style.compact, .indented])
  func writtenTextReadsBack(_ style: JSON.Style) throws {
    #expect(try JSON(parsing: WritingTests.value.text(style)) == WritingTests.value)
  }

  @Test func numbersThatJSONLacksBecomeNull() {
    #expect(JSON.array([.number(.infinity), .number(.nan)]).text(.compact) == "[null,null]")
  }

  /// Terminals also obey U+007F to U+009F, which JSON allows unescaped.
  @Test func controlsAreEscaped() throws {
    let value: JSON = ["\u{85}": "\u{7F}\u{80}\u{9B}31m\u{9F}\u{A0}"]
    let text = value.text(.compact)
    #expect(text == #"{"\u0085":"\u007f\u0080\u009b31m\u009f"# + "\u{A0}\"}")
    #expect(try JSON(parsing: text) == value)
  }

  @Test func membersAreSetAndRemoved() {
    var object = JSONObject(["a": 1, "b": 2, "c": 3])
    object["b"] = nil
    object["a"] = 4
    object["d"] = 5
    #expect(object.keys == ["a", "c", "d"])
    #expect(object["c"] == 3)
    #expect(JSON.object(object).text(.compact) == #"{"a":4,"c":3,"d":5}"#)
  }
}
