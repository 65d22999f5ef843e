import Checkpoint

extension EmbeddedModel {
  /// The guidance scale that suits this model: 7.5, which suits SD v1.5, overshoots on one so small.
  public static let guidance = 3.0
}
