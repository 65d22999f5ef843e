import CLinux
import Glibc
import Synchronization

/// The input files of a process: detects changes to them, and protects them from being replaced by
/// outputs.
///
/// A program calls
/// ``watch()`` at its start. Otherwise nothing is recorded, and ``MappedFile/requireUnchanged()``
/// checks single files.
@safe
public final class InputFiles: Sendable {
  /// The input files of this process.
  public static let shared = InputFiles()

  /// The identity of a file, independent of its name. Inode numbers are reused after a deletion;
  /// birth times are not.
  private struct Identity: Hashable {
    let device: UInt64
    let inode: UInt64
    let birth: Int64

    /// The identity of an open file.
    init?(_ descriptor: Int32) { self.init(descriptor, []) }

    /// The identity of the file at `path`, with links resolved.
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
    /// Everything that was read, and the path under which it was opened first.
    var read: [Identity: String] = [:]
    /// The state of files when first opened, since the last ``takeChange()``.
    var stamps: [Identity: Stamp] = [:]
    /// The current mappings.
    var mappings: [Int: Mapping] = [:]
    var count = 0
    /// The first change of a file that is no longer mapped.
    var change: FormatError?
    var hasOutput = false
  }

  private let state = Mutex(State())

  private init() {}

  /// Watches every file opened from now on, and makes the program survive truncation of mapped
  /// files.
  public static func watch() {
    MappedFile.surviveTruncation()
    shared.state.withLock { $0.isWatching = true }
  }

  // MARK: Changes

  /// - Throws: ``FormatError`` `inputOutput` with the name of an input that changed while it was
  ///   read.
  public func requireUnchanged() throws(FormatError) {
    let change = state.withLock { state in
      state.change ?? state.mappings.values.lazy.compactMap { $0.change }.first
    }
    if let change { throw change }
  }

  /// Whether an output is in place. Its inputs were unchanged until then; later changes do not
  /// matter.
  public var hasOutput: Bool { state.withLock { $0.hasOutput } }

  func noteOutput() { state.withLock { $0.hasOutput = true } }

  /// Returns and clears the first change of a file closed since the last call, for a program that
  /// continues with other work, perhaps with new files at the same paths.
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

  /// Registers a mapped file; nil if the process does not watch.
  func add(_ mapping: Mapping) -> Int? {
    guard state.withLock({ $0.isWatching }) else { return nil }
    let identity = Identity(mapping.descriptor)
    note(identity, mapping.path)
    return state.withLock { state in
      // A file that is read twice must be the same both times.
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

  /// Checks a file for the last time, before it is closed.
  func remove(_ number: Int?) {
    guard let number else { return }
    state.withLock { state in
      guard let mapping = state.mappings.removeValue(forKey: number) else { return }
      state.change = state.change ?? mapping.change
    }
  }

  // MARK: Outputs

  /// Registers a file that is read as a stream.
  public func note(_ descriptor: Int32, path: String) {
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return }
    note(Identity(descriptor), path)
  }

  /// Registers a file that will be read later.
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

  /// Rejects an output that would replace an input of this run, under any name.
  ///
  /// - Throws: ``FormatError`` `cannotCreate`.
  public func requireNoInput(at path: String) throws(FormatError) {
    guard let input = input(at: path) else { return }
    throw FormatError(
      .cannotCreate,
      "the output would replace an input file" + (input == path ? "" : ": \(input)"),
      file: path, hint: "choose another file; \(set: .overwrite) does not replace inputs")
  }

  /// Rejects replacing a directory that contains an input of this run.
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

/// A memory mapping of a file, and the file's state when it was mapped.
struct Mapping: Sendable {
  let path: String
  fileprivate let descriptor: Int32
  /// The slot in the SIGBUS handler's table; -1 if nothing is mapped.
  private let place: Int32
  let stamp: InputFiles.Stamp

  /// - Throws: ``FormatError`` `inputOutput` if the table is full.
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
        .inputOutput, "too many open files", file: path,
        hint: "use fewer files at a time")
    }
  }

  /// Call this before the memory is unmapped.
  func end() { sdk_guard_remove(place) }

  /// The change of the file since it was mapped; nil if it is unchanged.
  ///
  /// If another file was renamed over it, this mapping still has the old file.
  var change: FormatError? {
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0 else {
      return FormatError(.inputOutput, "cannot read the file's size", file: path)
    }
    let now = InputFiles.Stamp(status)
    if now != stamp { return Mapping.changed(path, stamp, to: now) }
    if sdk_guard_is_lost(place) != 0 {
      return FormatError(
        .inputOutput, "the disk could not read part of the file", file: path,
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
      file: path, hint: "wait until no other program writes the file, then run the command again")
  }
}

extension MappedFile {
  /// Makes the process survive truncation of a mapped file: the missing bytes read as zeros, and
  /// ``requireUnchanged()`` throws.
  ///
  /// Installs a SIGBUS handler, which passes other faults to the previous handler. Libraries do not
  /// install it by themselves.
  public static func surviveTruncation() {
    sdk_guard_install()
  }
}
