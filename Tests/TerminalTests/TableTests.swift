import Terminal
import Testing

@Suite struct TextWidthTests {
  @Test(arguments: [
    ("", 0), ("conv_in.weight", 14), ("é", 1), ("e\u{301}", 1), ("漢字", 4), ("ｗ", 2), ("가", 2),
    ("🚀", 2), ("👩‍🚀", 2), ("…", 1), ("─", 1), ("\u{200B}", 0),
  ])
  func columns(text: String, columns: Int) {
    #expect(TextWidth.columns(text) == columns)
  }

  @Test(arguments: [
    ("abcdef", 6, "abcdef"), ("abcdef", 5, "ab…ef"), ("abcdef", 4, "a…ef"), ("abcdef", 1, "…"),
    ("abcdef", 0, ""), ("漢字漢字", 7, "漢…漢字"), ("漢字漢字", 6, "漢…字"),
  ])
  func shortened(text: String, width: Int, expected: String) {
    #expect(TextWidth.shortened(text, to: width) == expected)
  }
}

@Suite struct TableTests {
  static func table() -> Table {
    var table = Table([
      .init("name", .left, isName: true), .init("kind", .left, rank: 2), .init("count", .right),
      .init("share", .right, rank: 1),
    ])
    table.add(["down_blocks.0.attentions.0.proj_in.weight", "matrix", "1,024", "12.5 %"])
    table.add(["漢字", "vector", "7", "0.1 %"])
    return table
  }

  @Test func columnsAreAsWideAsTheyNeed() {
    #expect(
      Self.table().text(width: nil, colours: false) == """
        name                                       kind    count   share
        down_blocks.0.attentions.0.proj_in.weight  matrix  1,024  12.5 %
        漢字                                       vector      7   0.1 %
        """)
  }

  /// Names are shortened first, then columns by rank, and what was omitted is reported.
  @Test(arguments: [
    (
      54,
      """
      name                             kind    count   share
      down_blocks.0.a….proj_in.weight  matrix  1,024  12.5 %
      漢字                             vector      7   0.1 %
      """
    ),
    (
      46,
      """
      name                             count   share
      down_blocks.0.a….proj_in.weight  1,024  12.5 %
      漢字                                 7   0.1 %
      (hidden columns: kind)
      """
    ),
    (
      30,
      """
      name                     count
      down_blocks…j_in.weight  1,024
      漢字                         7
      (hidden columns: kind, share)
      """
    ),
  ])
  func narrowTerminals(width: Int, expected: String) {
    #expect(Self.table().text(width: width, colours: false) == expected)
  }

  @Test func controlCharactersAreShown() {
    var table = Table([.init("name", .left)])
    table.add([.init("a\u{1B}[31mb", .warning)])
    let text = table.text(width: nil, colours: true)
    #expect(text == "\u{1B}[1mname\u{1B}[0m\n\u{1B}[33ma\\u{1b}[31mb\u{1B}[0m")
  }

  @Test func sharesAreBarsWhereThereAreColours() {
    var table = Table([.init("share", .left)])
    table.add([.share(1, of: 4, colours: true)])
    #expect(
      table.text(width: nil, colours: true).split(separator: "\n")[1]
        == "\u{1B}[36m█▌    \u{1B}[0m  25.0 %")
    #expect(Format.bar(0, width: 2) == "  ")
    #expect(Format.bar(1, width: 2) == "██")
    #expect(Format.bar(0.3, width: 2) == "▋ ")
  }
}

@Suite struct FormatTests {
  @Test(arguments: [
    (0.0, "0"), (1, "1"), (0.012345, "0.01235"), (-1.5e-7, "-1.5e-07"), (123456, "1.235e+05"),
    (Double.infinity, "inf"), (-Double.nan, "-nan"), (70_000, "7e+04"), (-4096, "-4096"),
  ])
  func significant(value: Double, text: String) {
    #expect(Format.significant(value) == text)
  }
}
