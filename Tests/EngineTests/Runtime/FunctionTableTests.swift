import COnnxRuntime
import Engine
import Glibc
import ModelGraph
import TestSupport
import Testing

extension EngineTests {
  /// The table of ONNX Runtime's functions: each index is that of the function of its name.
  struct FunctionTableTests {
    /// Indexes rise, and so do the versions that introduced them, up to the one asked for.
    @Test func rowsAreInOrder() {
      let rows = FunctionChecks.rows
      #expect(rows.map(\.index) == rows.map(\.index).sorted())
      #expect(Set(rows.map(\.index)).count == rows.count)
      #expect(rows.map(\.version) == rows.map(\.version).sorted())
      #expect(rows.last?.version == Int(ORT_VERSION))
      // The last of a version; `OrtApi` never changes below these (onnxruntime_c_api.cc).
      let ends = [1: 101, 4: 126, 5: 149, 9: 191, 11: 209, 12: 218, 22: 317]
      for row in rows { #expect(row.index <= ends[row.version] ?? -1, "\(row.name)") }
    }

    /// Every function is called in a process of its own, where a wrong index may do anything.
    @Test(.onnxRuntime) func everyFunctionDoesWhatItsNameSays() async throws {
      let path = try ExportedNetworks.runtime().path
      let folder = "/tmp/sdloom-functions-\(getpid())"
      defer { _ = try? Tool.launch("/bin/rm", ["-rf", folder]) }
      try ExportedNetworks.with([.textEncoder]) { exported in
        let moved = try Tool.launch("/bin/cp", ["-r", exported, folder])
        #expect(moved.status == 0, "\(moved.errors)")
      }
      setenv("SDLOOM_TEST_LIBRARY", path, 1)
      setenv("SDLOOM_TEST_MODEL", folder + "/text_encoder/model.onnx", 1)
      let result = await #expect(
        processExitsWith: .success, observing: [\.standardErrorContent]
      ) {
        FunctionChecks.run()
      }
      // The last name is that of the function that failed.
      let lines = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        .split(separator: "\n").filter { $0.hasPrefix("function ") }
      #expect(lines.last == "function all", "\(lines.suffix(2))")
    }
  }
}
