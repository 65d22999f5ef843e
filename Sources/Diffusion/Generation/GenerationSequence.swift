import Synchronization

/// The steps of images that an ``ImageGenerator`` makes, as an asynchronous sequence.
///
/// A step is computed when it is asked for. When the loop over the steps is left, or its task is
/// cancelled, nothing more is computed, and the generator turns to the next request. In a cancelled
/// task, asking for a step throws `CancellationError`.
///
/// Each iteration is a request of its own: a second loop over the same sequence generates the same
/// images again.
public struct GenerationSequence: AsyncSequence, Sendable {
  /// A step, which computes nothing itself.
  public typealias Element = GenerationStep

  private let generator: ImageGenerator
  private let groups: [[GenerationRequest]]

  init(_ generator: ImageGenerator, _ groups: [[GenerationRequest]]) {
    self.generator = generator
    self.groups = groups
  }

  /// Begins an iteration, which takes its place in the queue when its first step is asked for.
  public func makeAsyncIterator() -> Iterator {
    Iterator(place: Place(generator), groups: groups)
  }

  /// The finished images, if the steps do not matter.
  ///
  /// - Throws: as ``Iterator/next()``.
  public func results() async throws -> [Generation] {
    var results: [Generation] = []
    for try await step in self {
      if let result = step.result { results.append(result) }
    }
    return results
  }

  /// An iteration over the steps: a place in the generator's queue, which is given up with it.
  public struct Iterator: AsyncIteratorProtocol {
    fileprivate let place: Place
    fileprivate let groups: [[GenerationRequest]]
    private var isOver = false

    fileprivate init(place: Place, groups: [[GenerationRequest]]) {
      self.place = place
      self.groups = groups
    }

    /// Computes the next step; nil after the last, and after an error.
    ///
    /// - Throws: ``GenerationError`` if the model cannot do what is asked for, or a network gives
    ///   infinite numbers; ``FormatError`` if the scheduler cannot be had with the model's
    ///   configuration; ``EngineError``; `CancellationError` if the task is cancelled.
    public mutating func next() async throws -> GenerationStep? {
      guard !isOver else { return nil }
      isOver = true
      guard let step = try await place.generator.step(of: place.id, groups) else { return nil }
      isOver = false
      return step
    }
  }

  /// A place in a generator's queue, which is left when nothing refers to it any more.
  fileprivate final class Place: Sendable {
    let generator: ImageGenerator
    let id: Int

    private static let ids = Atomic(0)

    init(_ generator: ImageGenerator) {
      self.generator = generator
      id = Self.ids.add(1, ordering: .relaxed).newValue
    }

    deinit {
      Task { [generator, id] in await generator.leave(id) }
    }
  }
}
