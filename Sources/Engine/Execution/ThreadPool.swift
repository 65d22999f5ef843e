import CKernels
import ModelFormats

/// The threads that kernels and oneDNN share: those of the OpenMP runtime.
enum ThreadPool {
  /// Opens the runtime at the first call.
  ///
  /// - Throws: ``EngineError`` `missing` if there is none: one thread would do all the work.
  static func require() throws(EngineError) {
    guard let problem = sdk_threads_problem() else { return }
    throw EngineError(
      .missing, "cannot load the OpenMP runtime: \(String(cString: problem))", context: "engine",
      hint: "\(install: "libgomp1")")
  }
}
