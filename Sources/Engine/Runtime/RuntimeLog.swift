import Synchronization

/// Receives ONNX Runtime's log.
///
/// Warnings go to a handler, each text once. Errors are dropped, because the function that failed
/// reports the same text.
final class RuntimeLog: Sendable {
  private struct State {
    var handler: (@Sendable (String) -> Void)?
    var seen: Set<String> = []
  }

  private let state = Mutex(State())

  /// The severity of warnings.
  static let warning: Int32 = 2

  func setHandler(_ handler: (@Sendable (String) -> Void)?) {
    state.withLock { $0.handler = handler }
  }

  func receive(severity: Int32, _ message: String) {
    guard severity == Self.warning else { return }
    let handler = state.withLock { state in
      // Bounded: texts may contain numbers that change.
      guard state.handler != nil, state.seen.count < 1000, state.seen.insert(message).inserted
      else { return nil as (@Sendable (String) -> Void)? }
      return state.handler
    }
    handler?(message)
  }

  /// What the library calls, with the log as its context.
  static let callback:
    @convention(c) (
      UnsafeMutableRawPointer?, Int32, UnsafePointer<CChar>?, UnsafePointer<CChar>?,
      UnsafePointer<CChar>?, UnsafePointer<CChar>?
    ) -> Void = { context, severity, _, _, _, message in
      guard let context, let message else { return }
      Unmanaged<RuntimeLog>.fromOpaque(context).takeUnretainedValue()
        .receive(severity: severity, RuntimeMessage.sentence(String(cString: message)))
    }
}
