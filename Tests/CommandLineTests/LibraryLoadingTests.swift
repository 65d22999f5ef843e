import Foundation
import OrderedJSON
import TestSupport
import Testing

/// oneDNN and the OpenMP runtime, which `sdgen` opens when it first computes.
@Suite(.serialized) struct LibraryLoadingTests {
  /// Draws with `sdgen` started through env, so that variables can be unset.
  private static func draw(
    _ environment: [String], through loader: [String] = [], to path: String
  ) throws -> Tool.Result {
    try Tool.launch(
      "/usr/bin/env",
      ["-u", "GOMP_SPINCOUNT", "-u", "OMP_WAIT_POLICY", "-u", "SDLOOM_ONEDNN"] + environment
        + loader
        + [
          "\(Tool.folder)/sdgen", GenerateTests.prompt, "--model", Fixtures.path("shapes-v2"),
          "--steps", "1", "-o", path,
        ])
  }

  private static let loader = ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"]
    .first(where: FileManager.default.isExecutableFile)

  /// libgomp says what it found in the environment when it was loaded, which is once.
  @Test(arguments: [
    ([], "1000"), (["GOMP_SPINCOUNT=77"], "77"), (["OMP_WAIT_POLICY=passive"], "0"),
  ])
  func threadsSpinShortly(settings: [String], rounds: String) throws {
    try withTemporaryFolder { folder in
      let result = try Self.draw(
        ["OMP_DISPLAY_ENV=VERBOSE"] + settings, to: folder + "/a.png")
      #expect(result.status == 0, "\(result.errors)")
      let lines = result.errors.split(separator: "\n").filter { $0.contains("GOMP_SPINCOUNT") }
      #expect(lines.count == 1)
      #expect(lines.first?.contains("'\(rounds)'") == true, "\(result.errors)")
    }
  }

  /// Started by the dynamic loader, the program is not the one that the kernel started.
  @Test(.enabled(if: loader != nil, "no dynamic loader where x86-64 and ARM have it"))
  func throughTheLoader() throws {
    let loader = try #require(Self.loader)
    try withTemporaryFolder { folder in
      let result = try Self.draw(
        ["OMP_DISPLAY_ENV=VERBOSE"], through: [loader], to: folder + "/a.png")
      #expect(result.status == 0, "\(result.errors)")
      #expect(result.errors.contains("GOMP_SPINCOUNT = '1000'"), "\(result.errors)")
      #expect(FileManager.default.fileExists(atPath: folder + "/a.png"))
    }
  }

  /// The file names of the libraries that a run initializes, as the dynamic loader tells them.
  private static func loaded(_ run: (_ environment: [String]) throws -> Tool.Result) throws
    -> [String]
  {
    try run(["LD_DEBUG=libs"]).errors.split(separator: "\n").compactMap {
      guard let mark = $0.range(of: "calling init: ") else { return nil }
      return String($0[mark.upperBound...])
    }
  }

  /// The oneDNN that `sdgen` finds by itself.
  private static func systemLibrary() throws -> String {
    try withTemporaryFolder { folder in
      let libraries = try loaded { try draw($0, to: folder + "/a.png") }
      #expect(libraries.contains { $0.contains("libgomp.so") }, "\(libraries)")
      return try #require(libraries.first { $0.contains("libdnnl.so") }, "\(libraries)")
    }
  }

  @Test(arguments: ["sdgen --help", "sdgen tokens star", "sdinspect summary MODEL"])
  func isNotLoadedInVain(command: String) throws {
    let words = command.replacing("MODEL", with: Fixtures.path("shapes-v2")).split(separator: " ")
      .map(String.init)
    let libraries = try Self.loaded {
      try Tool.launch("/usr/bin/env", $0 + ["\(Tool.folder)/\(words[0])"] + words.dropFirst())
    }
    #expect(libraries.contains { $0.contains("libswiftCore") || $0.contains("libc.so") })
    #expect(!libraries.contains { $0.contains("dnnl") || $0.contains("gomp") }, "\(libraries)")
  }

  /// By its file, and by the folder whose `lib` has it.
  @Test(arguments: [false, true])
  func isNamedByPath(byFolder: Bool) throws {
    let library = try Self.systemLibrary()
    try withTemporaryFolder { folder in
      let name = String(library.split(separator: "/").last ?? "")
      try FileManager.default.createDirectory(
        atPath: folder + "/lib", withIntermediateDirectories: false)
      let link = "\(folder)/lib/\(name)"
      try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: library)
      var result: Tool.Result?
      let libraries = try Self.loaded { environment in
        let drawn = try Self.draw(
          environment + ["SDLOOM_ONEDNN=\(byFolder ? folder : link)"], to: folder + "/a.png")
        result = drawn
        return drawn
      }
      #expect(result?.status == 0)
      #expect(libraries.contains(link), "\(libraries)")
    }
  }

  @Test func withoutOneDNN() throws {
    let lacking = ["SDLOOM_ONEDNN": "/nowhere/libdnnl.so"]
    try withTemporaryFolder { folder in
      let path = folder + "/a.png"
      let text = try Tool.run(
        "sdgen", [GenerateTests.prompt, "--steps", "1", "-o", path], environment: lacking)
      #expect(text.status == 66)
      #expect(text.errors.contains("cannot load oneDNN from SDLOOM_ONEDNN: /nowhere/libdnnl.so"))
      #expect(text.errors.contains("apt-get install libdnnl"), "\(text.errors)")
      let report = try Tool.run("sdgen", ["bench", "--json"], environment: lacking)
      #expect(report.status == 66)
      let error = try JSON(parsing: report.errors)["error"]
      #expect(error?["code"]?.string == "engine-missing")
      #expect(error?["hint"]?.string?.contains("apt-get install libdnnl") == true)
      #expect(!FileManager.default.fileExists(atPath: path))
    }
    for command in [["sdgen", "--help"], ["sdgen", "tokens", "star"], ["sdinspect", "--help"]] {
      let result = try Tool.run(command[0], Array(command[1...]), environment: lacking)
      #expect(result.status == 0, "\(command): \(result.errors)")
    }
  }

  private static let compiler = ["/usr/bin/cc", "/usr/bin/gcc", "/usr/bin/clang"]
    .first(where: FileManager.default.isExecutableFile)

  /// A library that says to be oneDNN of this version and of this runtime (2: OpenMP, 8: a caller's thread
  /// pool), and has these functions, which all return 0.
  private static func makeLibrary(
    _ path: String, major: Int, runtime: Int, functions: [String] = []
  ) throws {
    let source = path + ".c"
    try """
    const struct { int version[3]; const char *hash; unsigned runtimes[2]; } version
        = {{\(major), 7, 1}, "", {\(runtime), 0}};
    const void *dnnl_version(void) { return &version; }
    \(functions.map { "int dnnl_\($0)(void) { return 0; }" }.joined(separator: "\n"))
    """.write(toFile: source, atomically: true, encoding: .utf8)
    let result = try Tool.launch(
      #require(compiler), ["-shared", "-fPIC", "-o", path, source])
    try #require(result.status == 0, "\(result.errors)")
  }

  /// The major version that the programs are built for: that of the library that they find.
  private static func builtMajor() throws -> Int {
    let name = try systemLibrary().split(separator: "/").last ?? ""
    return try #require(name.split(separator: ".").dropFirst(2).first.flatMap { Int($0) })
  }

  @Test(.enabled(if: compiler != nil, "no C compiler in /usr/bin"))
  func otherLibraries() throws {
    let built = try Self.builtMajor()
    for (major, runtime, problem) in [
      (9, 2, "found oneDNN 9.7.1 (PATH), but this program was built for oneDNN \(built).x"),
      (built, 8, "found oneDNN \(built).7.1 (PATH), which was not built for OpenMP or TBB threads"),
      (built, 2, "PATH does not have the function dnnl_engine_create of oneDNN"),
    ] {
      try withTemporaryFolder { folder in
        let library = folder + "/libdnnl.so.\(major)"
        try Self.makeLibrary(library, major: major, runtime: runtime)
        let result = try Self.draw(["SDLOOM_ONEDNN=\(library)"], to: folder + "/a.png")
        #expect(result.status == 66)
        #expect(
          result.errors.contains("error: engine: " + problem.replacing("PATH", with: library)),
          "\(result.errors)")
        #expect(result.errors.contains("set SDLOOM_ONEDNN to the path of a oneDNN \(built).x"))
      }
    }
  }

  /// oneDNN may be built for other threads than libgomp's, which our own kernels have all the same.
  @Test(.enabled(if: compiler != nil, "no C compiler in /usr/bin"))
  func withoutOpenMP() throws {
    let built = try Self.builtMajor()
    let header = try String(
      contentsOfFile: "\(Fixtures.root)/Sources/COneDNN/library.h", encoding: .utf8)
    let functions = header.matches(of: /X\(([a-z_]+)\)/).map { String($0.1) }
    #expect(functions.contains("engine_create"))
    try withTemporaryFolder { folder in
      let library = folder + "/libdnnl.so.\(built)"
      try Self.makeLibrary(library, major: built, runtime: 4, functions: functions)
      // What the dynamic loader finds first is no library.
      try "x".write(toFile: folder + "/libgomp.so.1", atomically: true, encoding: .utf8)
      let paths = ProcessInfo.processInfo.environment["LD_LIBRARY_PATH"].map { ":" + $0 } ?? ""
      let result = try Self.draw(
        ["LD_LIBRARY_PATH=\(folder)\(paths)", "SDLOOM_ONEDNN=\(library)"], to: folder + "/a.png")
      #expect(result.status == 66)
      #expect(
        result.errors.contains("cannot load the OpenMP runtime: \(folder)/libgomp.so.1"),
        "\(result.errors)")
      #expect(result.errors.contains("apt-get install libgomp1"), "\(result.errors)")
    }
  }
}
