import Foundation
import TestSupport
import Testing

/// The report of scripts/test-report.awk, and so `make test`. The lines are those of Swift Testing
/// 6.3, without times and source locations.
@Suite struct TestReportTests {
  private static func event(_ kind: String, _ test: String, _ messages: String = "") -> String {
    #"{"kind":"event","payload":{"kind":"\#(kind)","messages":[\#(messages)],"#
      + #""testID":"\#(test)"},"version":0}"#
  }

  private static func message(_ symbol: String, _ text: String) -> String {
    #"{"symbol":"\#(symbol)","text":"\#(text)"}"#
  }

  private static func skipped(_ name: String, _ reason: String) -> String {
    event(
      "testSkipped", #"A.S\/\#(name)()\/T.swift:1:2"#,
      message("skip", #"Test \#(name)() skipped: \"\#(reason)\""#))
  }

  private static func ended(_ name: String, _ symbol: String) -> [String] {
    let id = #"A.S\/\#(name)()\/T.swift:1:2"#
    return [event("testStarted", id), event("testEnded", id, message(symbol, "Test \(name)()"))]
  }

  private static let suite = [
    event("testSkipped", "A.S", message("skip", #"Suite S skipped: \"no torch\""#)),
    event("testEnded", "A.T", message("pass", "Suite T passed.")),
  ]

  private static let end =
    #"{"kind":"event","payload":{"kind":"runEnded","messages":[]},"version":0}"#

  private func report(_ lines: [String]) throws -> Tool.Result {
    try withTemporaryFolder { folder in
      try lines.joined(separator: "\n").write(
        toFile: folder + "/events", atomically: true, encoding: .utf8)
      let script = Fixtures.root + "/scripts/test-report.awk"
      return try Tool.launch(
        "/usr/bin/awk", ["-v", "log_file=LOG", "-f", script, folder + "/events"])
    }
  }

  @Test func countsTestsAndReasons() throws {
    let result = try report(
      Self.suite + [Self.skipped("a", "no Chromium"), Self.skipped("b", "no torch")]
        + [Self.skipped("c", "no torch")] + Self.ended("d", "pass") + [Self.end])
    #expect(result.status == 0, "\(result.errors)")
    #expect(
      result.output == """
        1 passed, 0 failed, 3 skipped
        ran 1, skipped 3: 2 no torch; 1 no Chromium (log: LOG)

        """)
  }

  @Test func printsFailuresWhole() throws {
    let issue = Self.event(
      "issueRecorded", #"A.S\/d()\/T.swift:1:2"#,
      Self.message("fail", #"Expectation failed: a == \"b\""#) + ","
        + Self.message("details", #"first\nsecond"#))
    let result = try report(
      Self.ended("d", "fail") + [issue] + Self.ended("e", "pass") + [Self.end])
    #expect(result.status == 1)
    #expect(result.output.contains("Expectation failed: a == \"b\"\n  first\nsecond\n"))
    #expect(result.output.contains("failed: A.S/d()/T.swift:1:2\n"))
    #expect(result.output.hasSuffix("1 passed, 1 failed, 0 skipped\nran 2, skipped 0 (log: LOG)\n"))
  }

  /// A crashed run is distinguished from a finished one, and so is one without tests.
  @Test func noticesARunThatDied() throws {
    let died = try report(Array(Self.ended("d", "pass").dropLast()))
    #expect(died.status == 2)
    #expect(died.output.hasPrefix("did not end: A.S/d()/T.swift:1:2\nthe tests stopped"))
    #expect(try report([Self.end]).status == 2)
  }
}
