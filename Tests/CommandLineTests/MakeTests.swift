import Foundation
import TestSupport
import Testing

/// `make install` and `make uninstall` with the programs that these tests were built with.
@Suite struct MakeInstallTests {
  /// As under sudo: Swift is not on the PATH.
  private static let barePath = "/usr/sbin:/usr/bin:/sbin:/bin"

  private func make(_ arguments: [String]) throws -> Tool.Result {
    try Tool.launch(
      "/usr/bin/env",
      ["-u", "MAKEFLAGS", "PATH=\(Self.barePath)", "make", "--no-print-directory"] + arguments)
  }

  /// Every file below `folder`, with its permissions.
  private func files(in folder: String) throws -> [String: Int] {
    let manager = FileManager.default
    var found: [String: Int] = [:]
    for path in try manager.subpathsOfDirectory(atPath: folder) {
      let attributes = try manager.attributesOfItem(atPath: "\(folder)/\(path)")
      guard attributes[.type] as? FileAttributeType == .typeRegular else { continue }
      found[path] = attributes[.posixPermissions] as? Int
    }
    return found
  }

  /// Prefixes as given to make, and their paths below DESTDIR.
  @Test(arguments: ["/opt/my tools", "/opt/it's \"quoted\"; false", "/usr/local/"])
  func installsWhatWasBuilt(prefix: String) throws {
    try withTemporaryFolder { folder in
      let destination = "\(folder)/a root"
      let settings = ["BIN=\(Tool.folder)", "PREFIX=\(prefix)", "DESTDIR=\(destination)"]
      let installed = try make(["install"] + settings)
      #expect(installed.status == 0, "\(installed.errors)")
      let place = destination + prefix
      let found = try files(in: place)
      let programs = ["sdgen", "sdinspect"]
      for program in programs {
        #expect(found["bin/\(program)"] == 0o755)
        for file in [
          "share/man/man1/\(program).1", "share/bash-completion/completions/\(program)",
          "share/zsh/site-functions/_\(program)", "share/fish/vendor_completions.d/\(program).fish",
        ] {
          #expect(found[file] == 0o644, "\(file)")
        }
      }
      #expect(found["share/man/man1/sdinspect-convert.1"] == 0o644)
      // Nothing was written next to the prefix.
      #expect(try files(in: folder).count == found.count)

      // The installed programs need nothing of the source tree.
      let summary = try Tool.launch(
        "\(place)/bin/sdinspect", ["\(place)/share/sdloom/shapes-v2"], in: folder)
      #expect(summary.status == 0, "\(summary.errors)")
      #expect(summary.output.contains("10,197,579"), "\(summary.output)")
      let drawn = try Tool.launch(
        "\(place)/bin/sdgen", ["a red circle", "--steps", "1", "-o", "\(folder)/a.png"],
        in: folder)
      #expect(drawn.status == 0, "\(drawn.errors)")

      let removed = try make(["uninstall"] + settings)
      #expect(removed.status == 0, "\(removed.errors)")
      #expect(try files(in: destination).isEmpty)
    }
  }

  @Test func nothingIsInstalledWhereNothingWasBuilt() throws {
    try withTemporaryFolder { folder in
      let installed = try make(
        ["install", "BIN=\(folder)/none", "PREFIX=/usr", "DESTDIR=\(folder)/root"])
      #expect(installed.status != 0)
      #expect(installed.errors.contains("error: \(folder)/none/sdinspect has not been built"))
      #expect(installed.errors.contains("hint: run `make` first"))
      #expect(!FileManager.default.fileExists(atPath: "\(folder)/root"))
    }
  }

  /// The bundled model is complete: a missing component would stop its loader, but a missing
  /// auxiliary file would go unnoticed.
  @Test func theEmbeddedModelIsTheSame() throws {
    try withTemporaryFolder { folder in
      let installed = try make(["install", "BIN=\(Tool.folder)", "PREFIX=\(folder)"])
      #expect(installed.status == 0, "\(installed.errors)")
      let difference = try Tool.run(
        "sdinspect", ["diff", Fixtures.path("shapes-v2"), "\(folder)/share/sdloom/shapes-v2"])
      #expect(difference.status == 0, "\(difference.output)\(difference.errors)")
      let verified = try Tool.run("sdinspect", ["verify", "\(folder)/share/sdloom/shapes-v2"])
      #expect(verified.status == 0, "\(verified.output)\(verified.errors)")
    }
  }
}
