import CLinux
import Glibc
import Synchronization

/// The files that a run of a program reads: whether they stayed as they were, and that no output
/// replaces one of them.
///
/// A program calls ``watch()`` as it starts. In a process that does not, nothing is kept here, and
/// ``MappedFile/requireUnchanged()`` answers for a single file.
@safe
public final class InputFiles: Sendable {
  /// The input files of this process.
  public static let shared = InputFiles()

  /// What a file is, whatever it is called. The number of an inode comes back when its file is gone,
  /// the time of birth does not.
  private struct Identity: Hashable {
    let device: UInt64
    let inode: UInt64
    let birth: Int64

    /// Of what is open.
    init?(_ descriptor: Int32) { self.init(descriptor, []) }

    /// Of what is at `path`, links followed.
    init?(_ path: String) { self.init(-1, FileName.bytes(path)) }

    private init?(_ descriptor: Int32, _ path: [CChar]) {
      var identity = sdk_identity()
      guard unsafe sdk_identify(descriptor, path.isEmpty ? [0] : path, &identity) == 0 else {
        return nil
      }
      (device, inode, birth) = (identity.device, identity.inode, identity.birth)
    }
  }

  /// A file's size and time of modification.
  struct Stamp: Equatable {
    let size: Int
    let seconds: Int
    let nanoseconds: Int

    init(_ status: stat) {
      size = Int(status.st_size)
      seconds = status.st_mtim.tv_sec
      nanoseconds = status.st_mtim.tv_nsec
    }
  }

  private struct State {
    var isWatching = false
    /// Everything that was read, with the path it was opened by first.
    var read: [Identity: String] = [:]
    /// How files were when they were opened first, since the last ``takeChange()``.
    var stamps: [Identity: Stamp] = [:]
    /// What is mapped now.
    var mappings: [Int: Mapping] = [:]
    var count = 0
    /// The first change of a file that is not mapped any more.
    var change: FormatError?
    var hasOutput = false
  }

  private let state = Mutex(State())

  private init() {}

  /// Watches every file that is opened from now on, and lets the program live through the truncation
  /// of one that is mapped.
  public static func watch() {
    MappedFile.surviveTruncation()
    shared.state.withLock { $0.isWatching = true }
  }

  // MARK: Changes

  /// - Throws: ``FormatError`` `inputOutput` naming a file that was read and changed meanwhile.
  public func requireUnchanged() throws(FormatError) {
    let change = state.withLock { state in
      state.change ?? state.mappings.values.lazy.compactMap { $0.change }.first
    }
    if let change { throw change }
  }

  /// Whether an output came to its path. What it was made of was unchanged until then; what happens to
  /// it later, while the program ends, is no matter.
  public var hasOutput: Bool { state.withLock { $0.hasOutput } }

  func noteOutput() { state.withLock { $0.hasOutput = true } }

  /// The first change of a file that was closed since the last call, and forgets it; for a program
  /// that goes on with other work, for which files may be others.
  @discardableResult
  public func takeChange() -> FormatError? {
    state.withLock { state in
      defer {
        state.change = nil
        state.stamps = [:]
      }
      return state.change
    }
  }

  /// Takes in a file that was mapped; nil in a process that does not watch.
  func add(_ mapping: Mapping) -> Int? {
    guard state.withLock({ $0.isWatching }) else { return nil }
    let identity = Identity(mapping.descriptor)
    note(identity, mapping.path)
    return state.withLock { state in
      // What is read twice is the same both times.
      if let identity,
        let stamp = state.stamps.updateValue(mapping.stamp, forKey: identity),
        stamp != mapping.stamp
      {
        state.change = state.change ?? Mapping.changed(mapping.path, stamp, to: mapping.stamp)
      }
      state.count += 1
      state.mappings[state.count] = mapping
      return state.count
    }
  }

  /// Looks at a file for the last time, before it is closed.
  func remove(_ number: Int?) {
    guard let number else { return }
    state.withLock { state in
      guard let mapping = state.mappings.removeValue(forKey: number) else { return }
      state.change = state.change ?? mapping.change
    }
  }

  // MARK: Outputs

  /// Takes in a file that is read as a stream.
  public func note(_ descriptor: Int32, path: String) {
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return }
    note(Identity(descriptor), path)
  }

  /// Takes in a file that is yet to be read.
  public func note(_ path: String) {
    var status = stat()
    guard unsafe stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return }
    note(Identity(path), path)
  }

  private func note(_ identity: Identity?, _ path: String) {
    guard let identity else { return }
    state.withLock { state in
      guard state.isWatching else { return }
      state.read[identity] = state.read[identity] ?? path
    }
  }

  /// Refuses an output that would replace a file of this run, under whatever name.
  ///
  /// - Throws: ``FormatError`` `cannotCreate`.
  public func requireNoInput(at path: String) throws(FormatError) {
    guard let input = input(at: path) else { return }
    throw FormatError(
      .cannotCreate,
      "the output would replace an input file" + (input == path ? "" : ": \(input)"),
      file: path, hint: "choose another file; \(set: .overwrite) does not replace inputs")
  }

  /// Refuses to replace a directory in which a file of this run is.
  ///
  /// - Throws: ``FormatError`` `cannotCreate`.
  package func requireNoInput(inDirectory path: String) throws(FormatError) {
    guard state.withLock({ !$0.read.isEmpty }), let stream = unsafe opendir(path) else { return }
    defer { unsafe closedir(stream) }
    while let entry = unsafe readdir(stream) {
      let name = unsafe FileWriter.name(of: entry)
      if name == "." || name == ".." { continue }
      let child = "\(path)/\(name)"
      if let input = input(at: child) {
        throw FormatError(
          .cannotCreate, "the output would replace an input file: \(input)", file: path,
          hint: "choose another directory; \(set: .overwrite) does not replace inputs")
      }
      var status = stat()
      if unsafe lstat(child, &status) == 0, status.st_mode & S_IFMT == S_IFDIR {
        try requireNoInput(inDirectory: child)
      }
    }
  }

  private func input(at path: String) -> String? {
    guard let identity = Identity(path) else { return nil }
    return state.withLock { $0.read[identity] }
  }
}

/// A stretch of memory that is a file's, and how the file was when it was mapped.
struct Mapping: Sendable {
  let path: String
  fileprivate let descriptor: Int32
  /// The place in the table of the handler of SIGBUS; -1 where nothing is mapped.
  private let place: Int32
  let stamp: InputFiles.Stamp

  /// - Throws: ``FormatError`` `inputOutput` where there is no place left.
  init(
    path: String, descriptor: Int32, status: stat, base: UnsafeRawPointer?
  ) throws(FormatError) {
    self.path = path
    self.descriptor = descriptor
    stamp = InputFiles.Stamp(status)
    guard let base = unsafe base else {
      place = -1
      return
    }
    place = unsafe sdk_guard_add(base, Int64(stamp.size), 0)
    guard place >= 0 else {
      throw FormatError(
        .inputOutput, "the file cannot be opened: thousands of others are open", file: path,
        hint: "give fewer files at a time")
    }
  }

  /// Before the memory is unmapped.
  func end() { sdk_guard_remove(place) }

  /// What happened to the file since it was mapped; nil where nothing did.
  ///
  /// A file that another was renamed over is still here as it was.
  var change: FormatError? {
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0 else {
      return FormatError(.inputOutput, "cannot read the file's size", file: path)
    }
    let now = InputFiles.Stamp(status)
    if now != stamp { return Mapping.changed(path, stamp, to: now) }
    if sdk_guard_is_lost(place) != 0 {
      return FormatError(
        .inputOutput, "a part of the file could not be read from its disk", file: path,
        hint: "check the disk")
    }
    return nil
  }

  static func changed(
    _ path: String, _ former: InputFiles.Stamp, to stamp: InputFiles.Stamp
  ) -> FormatError {
    FormatError(
      .inputOutput,
      stamp.size < former.size
        ? "the file was truncated while being read, from \(former.size) to \(stamp.size) bytes"
        : "the file changed while being read",
      file: path, hint: "wait until nothing else writes the file, and run the command again")
  }
}

extension MappedFile {
  /// Lets the process live through the truncation of a file that is mapped: the bytes that are gone
  /// read as zeros, and ``requireUnchanged()`` throws.
  ///
  /// Installs a handler of SIGBUS, which leaves all other faults to the one that was there before. A
  /// library does not do so by itself.
  public static func surviveTruncation() {
    sdk_guard_install()
  }
}
