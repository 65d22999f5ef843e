import Checkpoint
import Engine
import Glibc
import ModelFormats
import ModelGraph
import Testing

extension EngineTests {
  /// The libraries that the engine loads.
  struct LibraryTests {
    /// What a caller is told without oneDNN, in a process of its own, since it is loaded once.
    @Test func missingOneDNN() async {
      await #expect(processExitsWith: .exitCode(7)) {
        setenv("SDLOOM_ONEDNN", "/nowhere", 1)
        do {
          _ = try GoldenTests.executable(.unet, .unet, sizes: ExecutableTests.sizes)
          exit(2)
        } catch let error as EngineError {
          guard error.code == .missing, error.message.contains("/nowhere") else { exit(3) }
          let packages = error.hint?.parts.filter {
            guard case .package(let name) = $0 else { return false }
            return name.hasPrefix("libdnnl")
          }
          exit(packages?.count == 1 ? 7 : 4)
        }
      }
    }
  }
}
