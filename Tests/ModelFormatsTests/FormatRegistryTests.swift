import Foundation
import ModelFormats
import TestSupport
import Testing

/// Whether each format's descriptor is complete and agrees with the documentation and the fuzzer.
@Suite struct FormatRegistryTests {

  @Test func namesAndMagicNumbersAreUnique() {
    let all = FormatDescriptor.all
    #expect(Set(all.map(\.name)).count == all.count)
    var taken: [[UInt8]] = []
    for kind in all {
      guard case .beginnings(let beginnings) = kind.mark else { continue }
      for beginning in beginnings {
        #expect(
          !taken.contains { $0.starts(with: beginning) || beginning.starts(with: $0) }, "\(kind)")
        taken.append(beginning)
      }
    }
    let endings = all.flatMap(\.endings)
    #expect(Set(endings).count == endings.count)
    #expect(endings.allSatisfy { $0.hasPrefix(".") && $0 == $0.lowercased() })
  }

  /// A format that is read is documented and fuzzed; another one is refused in its own words.
  @Test(arguments: FormatDescriptor.all)
  func entriesAreComplete(_ kind: FormatDescriptor) {
    let isRead = kind.read != nil || kind.readIndex != nil || kind.format != nil
    #expect(kind.rows.isEmpty != isRead)
    #expect((kind.fuzzTarget != nil) == isRead)
    if kind.read != nil { #expect(kind.format != nil) }
    if kind.isWeights { #expect(!kind.endings.isEmpty) }
    let isGeneral: [FormatDescriptor] = [.pickle, .directory, .unknown]
    if kind.read == nil { #expect((kind.refusal == nil) == isGeneral.contains(kind)) }
    if let writing = kind.writing {
      #expect(writing.format == kind.format)
      #expect(WritableFormat(writing.format)?.name == writing.name)
    }
  }

  /// The fuzzer makes a target of every reader, but for those that need inputs of their own.
  @Test func specialTargetsAreWritten() throws {
    let source = try String(
      contentsOfFile: Fixtures.root + "/Fuzz/Sources/Main.swift", encoding: .utf8)
    for kind in FormatDescriptor.all where kind.fuzzTarget != nil && kind.read == nil {
      #expect(source.contains("\"\(kind.fuzzTarget ?? "")\": fuzz"), "\(kind)")
    }
  }

  @Test func documentation() throws {
    let page = try String(contentsOfFile: Fixtures.root + "/docs/formats.md", encoding: .utf8)
    let lines = page.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    let header = try #require(lines.firstIndex { $0.hasPrefix("| format | read | written |") })
    let rows = Array(lines[(header + 2)...].prefix { $0.hasPrefix("|") })
    let expected = FormatDescriptor.table
    #expect(
      rows == expected,
      "replace the rows of the table by:\n\(expected.joined(separator: "\n"))")
  }
}
