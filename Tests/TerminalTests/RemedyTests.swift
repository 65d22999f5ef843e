import Foundation
import ModelFormats
import Terminal
import Testing

/// The libraries' errors in command-line terms.
@Suite struct RemedyTests {
  private static let root = URL(filePath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  @Test func settingsBecomeOptions() {
    let remedy: Remedy =
      "pass \(set: .overwrite), \(set: .layout, "gguf") or \(set: .safetyChecker, "off"); see \(do: .inspect)"
    #expect(
      remedy.phrased
        == "pass --force, --to gguf or --no-safety-checker; see `sdinspect summary`")
    #expect(remedy.description.hasPrefix("pass `overwrite`, `layout = gguf` or"))
    #expect(remedy.mentions(.layout) && remedy.mentions(.layout, "gguf"))
    #expect(!remedy.mentions(.layout, "ldm") && !remedy.mentions(.saturate))
  }

  @Test func packagesAreInstalled() {
    let remedy: Remedy = "\(install: "libgomp1"), or restart"
    #expect(
      remedy.phrased
        == "install libgomp1 (`apt-get install libgomp1` on Debian and Ubuntu), or restart")
    #expect(remedy.description == "install the package `libgomp1`, or restart")
    #expect(remedy.parts == [.package("libgomp1"), .text(", or restart")])
  }

  /// Each setting is an option of a program.
  @Test(arguments: Remedy.Setting.Name.allCases)
  func optionsExist(_ name: Remedy.Setting.Name) throws {
    let option = Remedy.option(name)
    // `--[no-]metadata` is declared as `metadata`.
    let words = option.dropFirst(2).split(separator: "-")
    let property =
      String(words[0])
      + words.dropFirst().map { $0.prefix(1).uppercased() + $0.dropFirst() }.joined()
    let sources = try Self.swiftFiles(["sdinspect", "sdgen"]).map(\.text).joined()
    #expect(
      sources.contains("\"\(option.dropFirst(2))\"") || sources.contains("var \(property)"),
      "\(option)")
  }

  /// Libraries do not know which program calls them.
  @Test func librariesNameNoOptions() throws {
    let libraries = [
      "OrderedJSON", "ModelFormats", "FlatFormat", "ModelGraph", "Checkpoint", "ONNXExport",
      "Engine",
      "Pictures", "Diffusion",
    ]
    // Options of TensorRT's programs, and other programs' scheduler names.
    let exempt = ["TensorRTFiles.swift", "SamplerLabel+Names.swift"]
    for file in try Self.swiftFiles(libraries) where !exempt.contains(file.name) {
      for (number, line) in file.text.split(separator: "\n", omittingEmptySubsequences: false)
        .enumerated() where !line.drop(while: { $0 == " " }).hasPrefix("//")
      {
        let text = line.split(separator: "\"", omittingEmptySubsequences: false)
        let literals = text.indices.filter { $0 % 2 == 1 }.map { text[$0] }.joined(separator: " ")
        #expect(
          !literals.contains(/(^|[ `(])--[a-z]|sdinspect|sdgen/),
          "\(file.name):\(number + 1): \(line)")
      }
    }
  }

  private static func swiftFiles(_ targets: [String]) throws -> [(name: String, text: String)] {
    try targets.flatMap { target in
      let folder = root.appending(path: "Sources/\(target)").path
      let paths = try FileManager.default.subpathsOfDirectory(atPath: folder)
      return try paths.filter { $0.hasSuffix(".swift") }.map { path in
        (
          (path as NSString).lastPathComponent,
          try String(contentsOfFile: "\(folder)/\(path)", encoding: .utf8)
        )
      }
    }
  }
}
