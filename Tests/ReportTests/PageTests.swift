import Crypto
import Foundation
import ModelFormats
import OrderedJSON
import Report
import TestSupport
import Testing

@Suite struct PageTests {
  private func text(_ title: String, _ data: JSON) -> String {
    String(decoding: Page(title: title, data: data).pieces.joined(), as: UTF8.self)
  }

  /// The text between the first `start` and the `end` that follows it.
  private func between(_ start: String, _ end: String, _ text: String) throws -> String {
    let from = try #require(text.range(of: start))
    let to = try #require(text.range(of: end, range: from.upperBound..<text.endIndex))
    return String(text[from.upperBound..<to.lowerBound])
  }

  @Test(arguments: HostileNames.all)
  func dataStaysData(name: String) throws {
    let page = text(name, ["tensors": [.string(name)]])
    let data = try between("<script type=\"application/json\" id=\"data\">", "</script>", page)
    #expect(!data.contains("<"))
    #expect(!data.contains("\u{2028}"))
    #expect(try JSON(parsing: data) == ["tensors": [.string(name)]])
    #expect(page.components(separatedBy: "<script").count == 3)
    #expect(page.components(separatedBy: "</script>").count == 3)
    #expect(try !between("<title>", "</title>", page).contains("<"))
  }

  /// The policy allows the one script and style that are there, by their digests, and nothing else.
  @Test func thePolicyIsOfWhatIsThere() throws {
    let page = text("model", [:])
    let policy = try between("Content-Security-Policy\" content=\"", "\"", page)
    let script = try between("</script>\n<script>", "</script>", page)
    let style = try between("<style>", "</style>", page)
    func digest(_ text: String) -> String {
      "'sha256-\(Data(SHA256.hash(data: Data(text.utf8))).base64EncodedString())'"
    }
    #expect(
      policy == "default-src 'none'; script-src \(digest(script)); style-src \(digest(style)); "
        + "base-uri 'none'; form-action 'none'")
  }

  /// Nothing in the page's own source leads out of it.
  @Test func thePageNamesNoOtherAddress() throws {
    let page = text("model", [:]).replacing("http://www.w3.org/2000/svg", with: "")
    for word in ["http:", "https:", "@import", "fetch(", "XMLHttpRequest", "innerHTML"] {
      #expect(!page.contains(word), "\(word)")
    }
    // Only the arrow heads of the drawing.
    let addresses = page.components(separatedBy: "url(").dropFirst().map { $0.prefix(7) }
    #expect(addresses.allSatisfy { $0 == "#arrow)" }, "\(addresses)")
  }

  @Test func isWrittenWholeOrNotAtAll() throws {
    try withTemporaryFolder { folder in
      let page = Page(title: "model", data: [:])
      let bytes = try page.write(to: folder + "/a.html", overwrite: false)
      #expect(bytes == page.pieces.joined().count)
      #expect(throws: FormatError.self) {
        try page.write(to: folder + "/a.html", overwrite: false)
      }
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["a.html"])
    }
  }
}
