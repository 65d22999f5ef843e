import Foundation
import ModelFormats
import TestSupport
import Testing

/// Names that are not UTF-8.
@Suite struct FileNameTests {
  private static func bytes(_ text: String) -> [UInt8] {
    FileName.bytes(text).dropLast().map { UInt8(bitPattern: $0) }
  }

  @Test func everyNameComesBackAsItWas() {
    var names: [[UInt8]] = [
      [], Array("plain".utf8), Array("é日本🙂".utf8), [0xE9], [0xFF, 0x80], Array("a".utf8) + [0xC3],
      [0xC0, 0xAF], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xF0, 0x9F, 0x99],
      // Characters that represent bytes, occurring in a name themselves.
      Array("\u{10FFE9}".utf8), Array("\u{10FF7F}\u{10FF80}\u{10FFFF}".utf8),
    ]
    for _ in 0..<2000 {
      names.append((0..<Int.random(in: 1...12)).map { _ in UInt8.random(in: 1...255) })
      let lead: [UInt8] = [0xF4, 0x8F, 0xBE, 0xBF, 0xE9, 0x41]
      names.append((0..<9).map { _ in lead.randomElement() ?? 0 })
    }
    var texts: [String: [UInt8]] = [:]
    for name in names {
      let text = FileName.text(name)
      #expect(Self.bytes(text) == name)
      #expect(String(validating: name, as: UTF8.self) == text || FileName.isNotUTF8(text))
      texts[text] = name
    }
  }

  @Test func whatStandsForBytesIsSaid() {
    #expect(FileName.text([0x41, 0xE9]) == "A\u{10FFE9}")
    #expect(FileName.text(Array("\u{10FFE9}".utf8)).unicodeScalars.count == 4)
    #expect(FileName.isNotUTF8("A\u{10FFE9}") && !FileName.isNotUTF8("Aé\u{10FF7F}"))
  }

  @Test func filesAreOpenedAndWritten() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/" + FileName.text([0x61, 0xE9, 0x2E])
      let writer = try FileWriter(path: path)
      try writer.write([1, 2, 3])
      try writer.commit()
      #expect(try MappedFile(path: path).count == 3)
      #expect(throws: FormatError.self) { try FileWriter(path: path) }
      let replacing = try FileWriter(path: path, overwrite: true)
      try replacing.write([1])
      try replacing.commit()
      #expect(try MappedFile(path: path).count == 1)
      // Foundation would repair the name: the shell prints its bytes.
      let names = try Tool.launch(
        "/bin/sh", ["-c", "ls -A \"$1\" | od -An -tx1", "sh", folder])
      #expect(names.output.split(whereSeparator: \.isWhitespace) == ["61", "e9", "2e", "0a"])
    }
  }
}
