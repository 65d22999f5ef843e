import Diffusion
import Engine
import Terminal

extension Failure {
  init(_ error: GenerationError) {
    let status: ExitStatus =
      switch error.code {
      case .request: .usage
      case .notFinite: .data
      }
    self.init(status, code: error.code.rawValue, error.message, hint: error.hint?.phrased)
  }

  /// The person stopped the drawing at a step.
  static func cancelled(at step: GenerationStep) -> Failure {
    Failure(
      .interrupted, code: "cancelled",
      "cancelled after \(step.evaluation) of \(step.evaluationCount) evaluations")
  }

  init(_ error: EngineError) {
    let status: ExitStatus =
      switch error.code {
      case .input, .parameter, .model: .data
      case .unsupported: .usage
      case .memory, .library: .software
      case .missing: .noInput
      case .cache: .cannotCreate
      }
    let usual = error.code == .memory ? "draw a smaller picture, or close other programs" : nil
    self.init(
      status, code: "engine-\(error.code.rawValue)", error.description,
      hint: error.hint?.phrased ?? usual)
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
