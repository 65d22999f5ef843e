import CLinux
import Glibc
import Synchronization

extension FileWriter {
  /// The number of unnamed files so far, which makes their hidden names unique.
  private static let unnamedCount = Atomic(0)

  /// Rejects a path with an existing file that must not be replaced.
  static func checkTarget(_ path: String, overwrite: Bool) throws(FormatError) {
    var status = stat()
    // A rename would replace the link itself, which may belong to a device or another program.
    guard unsafe lstat(path, &status) == 0 else { return }
    switch status.st_mode & S_IFMT {
    case S_IFLNK:
      throw FormatError(
        .cannotCreate, "the output path is a symbolic link", file: path,
        hint: "use the path of the linked file, or remove the link")
    case S_IFDIR:
      throw FormatError(
        .cannotCreate, "the output path is a directory", file: path,
        hint: "name a file inside it")
    case S_IFREG:
      guard overwrite else { throw existing(path) }
    default:
      throw FormatError(
        .cannotCreate, "the output path is not a regular file", file: path,
        hint: "choose a file that does not exist yet")
    }
  }

  /// Creates a file in the directory of `path`, unnamed if the system supports that.
  static func createTemporary(
    beside path: String
  ) throws(FormatError) -> (path: String, descriptor: Int32, isUnnamed: Bool) {
    // The target's name and the suffix must fit in 255 bytes.
    let name = path.utf8.split(separator: UInt8(ascii: "/")).last.map { shortened(Substring($0)) }
    removeStale(in: directory(of: path), prefix: ".\(name ?? "").")
    // Linking needs /proc, which is not available to every process.
    if unsafe access("/proc/self/fd", F_OK) == 0 {
      let descriptor = unsafe sdk_open_unnamed(FileName.bytes(directory(of: path)), 0o666)
      if descriptor >= 0 {
        sdk_lock(descriptor)
        let number = FileWriter.unnamedCount.add(1, ordering: .relaxed).oldValue
        let temporary = "\(directory(of: path))/.\(name ?? "").\(getpid())-\(100 + number).partial"
        return (temporary, descriptor, true)
      }
    }
    for attempt in 0..<100 {
      let temporary = "\(directory(of: path))/.\(name ?? "").\(getpid())-\(attempt).partial"
      let descriptor = unsafe open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
      if descriptor >= 0 {
        // Another process may treat an unlocked file as a leftover.
        if isOwn(descriptor) { return (temporary, descriptor, false) }
        close(descriptor)
        continue
      }
      guard errno == EEXIST else { throw cannotCreate(path, reason: errno) }
    }
    throw cannotCreate(path, reason: EEXIST)
  }

  /// Removes leftovers of killed processes for the same path.
  private static func removeStale(in directory: String, prefix: String) {
    guard let stream = unsafe opendir(directory) else { return }
    defer { unsafe closedir(stream) }
    while let entry = unsafe readdir(stream) {
      let name = unsafe name(of: entry)
      guard name.hasPrefix(prefix), name.hasSuffix(".partial") else { continue }
      let left = "\(directory)/\(name)"
      let descriptor = unsafe open(left, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
      guard descriptor >= 0 else { continue }
      defer { close(descriptor) }
      let process = Int32(name.dropFirst(prefix.count).prefix { $0 != "-" }) ?? 0
      guard isLeft(descriptor, of: process) else { continue }
      // A directory does not belong to this writer and stays.
      unsafe unlink(left)
    }
  }

  /// Locks a new file or directory while it is open; false if another process considers it a
  /// leftover and removes it.
  package static func isOwn(_ descriptor: Int32) -> Bool {
    var status = stat()
    if sdk_lock(descriptor) != 0, errno == EWOULDBLOCK { return false }
    return unsafe fstat(descriptor, &status) == 0 && status.st_nlink > 0
  }

  /// Whether an open file is a leftover of a dead process: it is not locked. Process IDs say
  /// little, because they are reused and each container has its own.
  ///
  /// - Parameter process: the process ID, which decides on file systems without locks.
  package static func isLeft(_ descriptor: Int32, of process: Int32) -> Bool {
    if sdk_lock(descriptor) == 0 { return true }
    guard errno != EWOULDBLOCK, process > 0 else { return false }
    return kill(process, 0) != 0 && errno == ESRCH
  }

  /// At most 200 bytes of a name, without splitting a character.
  package static func shortened(_ name: Substring) -> String {
    var result = String.UnicodeScalarView()
    var count = 0
    for scalar in name.unicodeScalars {
      count += UTF8.width(scalar)
      if count > 200 { break }
      result.append(scalar)
    }
    return String(result)
  }

  /// The name of a directory entry.
  package static func name(of entry: UnsafeMutablePointer<dirent>) -> String {
    // Names have at most 255 bytes and a terminating null.
    unsafe withUnsafeBytes(of: &entry.pointee.d_name) {
      unsafe FileName.text(Array($0.prefix { $0 != 0 }))
    }
  }

  /// The directory of `path` without a final slash. Compares bytes, as the system does: a combining
  /// mark would hide a slash.
  static func directory(of path: String) -> String {
    guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return "." }
    return slash == path.startIndex ? "/" : String(decoding: path.utf8[..<slash], as: UTF8.self)
  }

  static func existing(_ path: String) -> FormatError {
    FormatError(
      .cannotCreate, "the output already exists", file: path,
      hint: "pass \(set: .overwrite) to replace it, or choose another file")
  }

  static func cannotCreate(_ path: String, reason: Int32) -> FormatError {
    let text = unsafe String(cString: strerror(reason))
    let hint: Remedy =
      switch reason {
      case ENOENT, ENOTDIR: "create the directory \(directory(of: path)) first"
      case EACCES, EPERM, EROFS: "choose a directory that you can write to"
      default: "name another file"
      }
    return FormatError(
      .cannotCreate, "cannot create the output: \(text)", file: path, hint: hint)
  }
}
