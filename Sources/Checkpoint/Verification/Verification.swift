import FlatFormat
import ModelFormats
import ModelGraph
import OrderedJSON
import Synchronization
import Threads

/// The result of verifying a complete checkpoint: checksums if the format has them, networks
/// against their graphs, and the small files of a pipeline.
public struct Verification: Sendable {
  /// Problems that make the checkpoint invalid, one sentence each.
  public internal(set) var problems: [String] = []
  /// Unusual but harmless findings: tensors that no network uses.
  public internal(set) var notes: [String] = []
  /// What could not be checked, and why.
  public internal(set) var unchecked: [String] = []
  /// What was checked, in words: "1130 tensors against their networks".
  public internal(set) var checked: [String] = []

  /// What unpickling the files would run.
  public internal(set) var safety = Safety()

  /// Whether nothing that was checked is wrong.
  public var isSound: Bool { problems.isEmpty }

  /// Whether the checkpoint is valid: nil if nothing is wrong but something was not checked.
  public var verdict: Bool? { isSound && !unchecked.isEmpty ? nil : isSound }

  /// Verifies everything that can be checked in an open checkpoint.
  ///
  /// - Parameter progress: called occasionally, on the caller's thread, with the bytes verified by
  ///   checksums and their total.
  /// - Throws: ``FormatError`` if a file can no longer be read.
  public init(
    of checkpoint: ModelCheckpoint,
    _ progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(FormatError) {
    try checkBytes(of: checkpoint, progress)
    checkFindings(of: checkpoint)
    try checkZeros(of: checkpoint)
    checkNetworks(of: checkpoint)
    checkTokenizer(of: checkpoint)
    checkScheduler(of: checkpoint)
  }

  // MARK: Networks

  private mutating func checkNetworks(of checkpoint: ModelCheckpoint) {
    // Values with wrong checksums need no further checks.
    let isDamaged = !problems.isEmpty
    var count = 0
    var inferred: [String] = []
    for component in checkpoint.components {
      noteEightBitWeights(of: component)
      let scales = component.scales.problems(component.tensors)
      problems += scales.prefix(4).map { "\(component.name): \($0)" }
      if scales.count > 4 {
        problems.append("\(component.name): \(scales.count - 4) more scales do not fit")
      }
      let foreign = component.scales.foreign(component.tensors)
      if !foreign.isEmpty {
        unchecked.append(
          "\(component.name): \(foreign.count.of("8-bit weight has", "8-bit weights have")) scales of "
            + "a layout that is not read: \(Leftover.shown(foreign))")
      }
      guard component.packed.isEmpty else {
        unchecked.append("\(component.name): \(component.packed.description)")
        continue
      }
      guard let manifest = component.manifest else {
        // Noise schedules and optimizer states are not networks.
        guard component.name != .other else {
          let count = component.tensors.count
          notes.append("\(count.of("tensor is", "tensors are")) of no network")
          leave(component.tensors, of: component)
          continue
        }
        let problem = component.graphProblem ?? "the network is not known"
        if let outline = component.outline {
          count += outline.foundCount
          problems += outline.problems.map { "\(component.name): \($0)" }
          guard !outline.isWhole else {
            leave(outline.unknown(component), of: component)
            continue
          }
        }
        let count = component.tensors.count
        unchecked.append(
          "\(component.name): \(problem) (\(count.of("tensor")))")
        continue
      }
      count += manifest.parameters.count - manifest.missing.count
      let sums = manifest.summedProblems
      let faults = sums.count - manifest.unexpected.summedCount
      let half = checkpoint.isAlone(component) ? component.half : nil
      if let half { notes.append("\(component.name): the model contains only the \(half.name)") }
      // Then only the other half is missing.
      let first = half == nil ? 0 : manifest.missing.summedCount
      problems += sums[first..<faults].map { "\(component.name): \($0)" }
      if !isDamaged {
        problems += component.positionFaults.map { "\(component.name): \($0)" }
      }
      // Graph constants of an ONNX model are normal.
      if component.graphConstants.count < manifest.unexpected.count {
        notes += sums.dropFirst(faults).map { "\(component.name): \($0)" }
        let constants = Set(component.graphConstants.map { ExactName($0.name) })
        leave(
          manifest.unexpected.filter { !constants.contains(ExactName($0.name)) }, of: component)
      }
      if let configuration = component.configuration, configuration.origin == .inferred {
        inferred.append(component.name.rawValue)
        if faults == 0, component.isDoubtful(configuration) {
          unchecked.append(
            "\(component.name): its tensors fit one another, but published networks of this kind "
              + "have more layers, or attention in more places; a config.json would tell")
        }
      }
    }
    if !inferred.isEmpty {
      notes.append(
        "\(inferred.joined(separator: ", ")): read off the tensors' shapes, as there is no "
          + "config.json")
    }
    if count > 0 {
      checked.append("\(count.of("tensor")) against their networks")
    }
  }

  /// Lists unknown tensors of a component, which are not checked.
  private mutating func leave(_ tensors: [Tensor], of component: Component) {
    let names = tensors.map(\.name).filter { Leftover.kind(of: $0) == .unknown }
    guard !names.isEmpty else { return }
    unchecked.append(
      "\(component.name): \(names.count.of("unrecognized tensor")): \(Leftover.shown(names))")
  }

  // MARK: Bytes

  private mutating func checkBytes(
    of checkpoint: ModelCheckpoint, _ progress: (Int, Int) -> Void
  ) throws(FormatError) {
    if case .file(.sdflat) = checkpoint.layout {
      let result = try FlatFile.verify(checkpoint.path)
      problems += result.damages.map(\.description)
      checked.append("\(result.checkedCount) parts by their checksums")
      return
    }
    var archives: [ArchiveCheck] = []
    var seen: Set<String> = []
    var bare: Set<String> = []
    for component in checkpoint.components {
      for file in component.files where seen.insert(file).inserted {
        if component.format == .pytorch, let archive = try ArchiveCheck(file) {
          archives.append(archive)
        } else {
          bare.insert(component.format.rawValue)
        }
      }
    }
    if !bare.isEmpty {
      notes.append(
        "files without checksums: \(bare.sorted().joined(separator: ", ")); their headers and "
          + "sizes are valid, values cannot be verified")
    }
    let records = archives.flatMap { archive in
      (0..<archive.recordCount).map { (archive: archive, index: $0) }
    }
    guard !records.isEmpty else { return }
    problems += Verification.problems(of: records, progress).map(\.description)
    checked.append("\(records.count) zip records by their CRC-32")
  }

  /// Checks records on all cores, the largest first.
  private static func problems(
    of records: [(archive: ArchiveCheck, index: Int)], _ progress: (Int, Int) -> Void
  ) -> [FormatError] {
    let sizes = records.map { $0.archive.byteCount($0.index) }
    let order = records.indices.sorted { sizes[$0] > sizes[$1] }
    let total = sizes.reduce(0, +)
    let state = State()
    let report = { (_: Int) in progress(state.done.load(ordering: .relaxed), total) }
    Cores.each(order.count, report) { position in
      let record = records[order[position]]
      if let problem = record.archive.problem(record.index) {
        state.problems.withLock { $0.append((order[position], problem)) }
      }
      state.done.add(sizes[order[position]], ordering: .relaxed)
    }
    return state.problems.withLock { $0.sorted { $0.position < $1.position }.map(\.error) }
  }

  /// State shared by the cores.
  private final class State: Sendable {
    let done = Atomic(0)
    let problems = Mutex<[(position: Int, error: FormatError)]>([])
  }
}

extension Array {
  /// The number of lines that ``Manifest/summedProblems`` makes of them.
  fileprivate var summedCount: Int { count > 4 ? 1 : count }
}
