import Engine
import Foundation
import Glibc
import ModelFormats
import TestSupport
import Testing

extension EngineTests {
  /// How ONNX Runtime is found and loaded, and what a caller is told without it.
  struct RuntimeLibraryTests {
    private static let compiler = ["/usr/bin/cc", "/usr/bin/gcc", "/usr/bin/clang"]
      .first(where: FileManager.default.isExecutableFile)

    private static func error(_ path: String) throws -> EngineError {
      let error = try #require(throws: EngineError.self) { _ = try ONNXRuntime.load(from: path) }
      #expect(error.code == .missing)
      #expect(error.context == "ONNX Runtime")
      #expect(error.hint?.parts.contains(.pythonPackage("onnxruntime")) == true)
      #expect(error.hint?.contains("SDLOOM_ONNXRUNTIME") == true)
      return error
    }

    @Test func missingFiles() throws {
      try #expect(
        Self.error("/nowhere/libonnxruntime.so").message
          == "/nowhere/libonnxruntime.so: No such file or directory")
      try withTemporaryFolder { folder in
        try #expect(Self.error(folder).message == "\(folder) contains no libonnxruntime.so")
      }
    }

    @Test func brokenFiles() throws {
      try withTemporaryFolder { folder in
        let path = "\(folder)/libonnxruntime.so.1.99.0"
        try "text".write(toFile: path, atomically: true, encoding: .utf8)
        for place in [path, folder] {
          let message = try Self.error(place).message
          #expect(message.hasPrefix("cannot load the library: \(path): "), "\(message)")
        }
        let pipe = "\(folder)/pipe.so"
        try "".write(toFile: pipe, atomically: true, encoding: .utf8)
        try #expect(Self.error(pipe).message.contains("file too short"))
      }
    }

    private static func compile(_ source: String, to path: String) throws {
      try source.write(toFile: path + ".c", atomically: true, encoding: .utf8)
      let result = try Tool.launch(
        #require(compiler), ["-shared", "-fPIC", "-o", path, path + ".c"])
      try #require(result.status == 0, "\(result.errors)")
    }

    @Test(.enabled(if: compiler != nil, "no C compiler in /usr/bin"))
    func otherLibraries() throws {
      try withTemporaryFolder { folder in
        let foreign = "\(folder)/libforeign.so"
        try Self.compile("int other(void) { return 0; }", to: foreign)
        try #expect(
          Self.error(foreign).message
            == "\(foreign) is not ONNX Runtime: it has no function OrtGetApiBase")
        for (number, version) in ["1.21.1", "0.9", "unknown", "1.32.0"].enumerated() {
          let path = "\(folder)/libonnxruntime\(number).so"
          // The last is recent enough, but has no such table.
          try Self.compile(
            """
            static const void *table(unsigned version) { (void)version; return 0; }
            static const char *version(void) { return "\(version)"; }
            static const struct { const void *(*table)(unsigned); const char *(*version)(void); }
              base = {table, version};
            const void *OrtGetApiBase(void) { return &base; }
            """, to: path)
          try #expect(
            Self.error(path).message
              == "found version \(version) (\(path)), but 1.22 is the least that has execution "
              + "providers as plug-ins")
        }
      }
    }

    /// The environment variable is used without a path, and is named if it is wrong.
    @Test func theVariableIsNamed() async {
      await #expect(processExitsWith: .exitCode(7)) {
        setenv("SDLOOM_ONNXRUNTIME", "/nowhere", 1)
        do throws(EngineError) {
          _ = try ONNXRuntime.load()
          exit(2)
        } catch {
          exit(
            error.message == "/nowhere (SDLOOM_ONNXRUNTIME): No such file or directory" ? 7 : 3)
        }
      }
    }

    /// PyPI's package is found in a virtual environment, and in the Python of PATH.
    @Test(.onnxRuntime) func isFoundInPythons() async throws {
      let library = try ExportedNetworks.runtime().path
      let folder = FileManager.default.temporaryDirectory
        .appending(path: "sdloom-\(UUID().uuidString)").path
      let package = "\(folder)/lib/python3.99/site-packages/onnxruntime/capi"
      let manager = FileManager.default
      try manager.createDirectory(atPath: package, withIntermediateDirectories: true)
      defer { try? manager.removeItem(atPath: folder) }
      try manager.createSymbolicLink(
        atPath: package + "/libonnxruntime.so.1.99.0", withDestinationPath: library)
      try manager.createDirectory(atPath: "\(folder)/bin", withIntermediateDirectories: false)
      try manager.createSymbolicLink(
        atPath: "\(folder)/bin/python3", withDestinationPath: "/bin/true")
      setenv("SDLOOM_TEST_LIBRARY", library, 1)
      setenv("SDLOOM_TEST_FOLDER", folder, 1)
      await #expect(processExitsWith: .exitCode(7)) {
        try RuntimeLibraryTests.find(by: "VIRTUAL_ENV", "")
      }
      await #expect(processExitsWith: .exitCode(7)) {
        try RuntimeLibraryTests.find(by: "PATH", "/bin")
      }
    }

    /// In a child: only this variable says where a Python is.
    private static func find(by name: String, _ suffix: String) throws -> Never {
      for other in ["SDLOOM_ONNXRUNTIME", "VIRTUAL_ENV"] { unsetenv(other) }
      let folder = getenv("SDLOOM_TEST_FOLDER").map { String(cString: $0) } ?? ""
      let library = getenv("SDLOOM_TEST_LIBRARY").map { String(cString: $0) } ?? ""
      setenv("HOME", folder + "/home", 1)
      setenv("PATH", folder + "/none", 1)
      setenv(name, folder + suffix, 1)
      guard try ONNXRuntime.load().path == library else { exit(3) }
      // Nothing about the machine is written or sent.
      exit(access(folder + "/home", F_OK) == 0 ? 4 : 7)
    }

    @Test(arguments: [
      (
        "/src/onnxruntime/core/ep.cc:393 virtual std::unique_ptr<X> a::Factory::Create(const O&, "
          + "const L&) [ONNXRuntimeError] : 11 : EP_FAIL : /src/webgpu_context.cc:136 "
          + "a::Context::Initialize(const C&)::<lambda()> adapter.status == S::Success was false. "
          + "Failed to get a WebGPU adapter: No supported adapters\n\n",
        "Failed to get a WebGPU adapter: No supported adapters"
      ),
      ("Load model from a.onnx failed:Protobuf parsing failed.", nil),
      ("", "no reason given"),
    ])
    func messagesAreSentences(text: String, sentence: String?) {
      #expect(
        RuntimeMessage.sentence(text)
          == sentence ?? "Load model from a.onnx failed:Protobuf parsing failed")
    }

    @Test(arguments: [
      ("Failed to allocate memory for requested buffer of size 17179869184", true),
      ("CUDA failure 2: out of memory", true), ("VK_ERROR_OUT_OF_DEVICE_MEMORY", true),
      ("std::bad_alloc", true), ("Invalid rank for input: sample", false),
    ])
    func shortagesAreKnown(text: String, isShortage: Bool) {
      #expect(RuntimeMessage.isShortage(text) == isShortage)
    }
  }
}
