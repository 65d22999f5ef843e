import Foundation
import TestSupport
import Testing

/// Code on pages that is also in a file, where it can be checked and run.
@Suite struct CodeBlockTests {
  private static let docs = URL(filePath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "docs")

  /// Each part of the file is on the page, in the same words; `scripts/code-blocks` copies them.
  @Test func pageAndFileHaveTheSameCode() throws {
    let page = try String(contentsOf: Self.docs.appending(path: "tensorrt.md"), encoding: .utf8)
    let file = try String(contentsOf: Self.docs.appending(path: "tensorrt.py"), encoding: .utf8)
    let parts = file.split(separator: /(?m)^# \[/).dropFirst().map { part in
      let lines = part.split(separator: "\n", maxSplits: 1)
      return (name: lines[0].dropLast(), code: lines[1].trimmingCharacters(in: .newlines))
    }
    #expect(parts.count > 5)
    for (name, code) in parts {
      #expect(page.contains("<!-- tensorrt.py: \(name) -->\n```python\n\(code)\n```\n"), "\(name)")
    }
    let blocks = page.components(separatedBy: "```python").count - 1
    #expect(blocks == parts.count)
  }
}
