import Diffusion
import Engine
import Terminal

extension Failure {
  init(_ error: GenerationError) {
    let status: ExitStatus =
      switch error.code {
      case .cancelled: .interrupted
      case .request: .usage
      case .notFinite: .data
      }
    self.init(status, code: error.code.rawValue, error.message, hint: error.hint?.phrased)
  }

  init(_ error: EngineError) {
    let status: ExitStatus =
      switch error.code {
      case .input, .parameter: .data
      case .unsupported: .usage
      case .memory, .library: .software
      }
    self.init(
      status, code: "engine-\(error.code.rawValue)", error.description,
      hint: error.code == .memory ? "use a smaller image, or close other programs" : nil)
  }

  /// Runs `body`, which generates, and converts its errors to failures.
  static func fromDrawing<Result>(_ body: () throws -> Result) throws -> Result {
    do {
      return try body()
    } catch let error as GenerationError {
      throw Failure(error)
    } catch let error as EngineError {
      throw Failure(error)
    }
  }
}
