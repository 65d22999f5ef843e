import Glibc
import ModelFormats

/// Packed weights in a file without a name instead of in memory of the process's own.
///
/// The file is mapped whole. After each layer its pages are given back, so that of all weights only
/// those of one layer count as resident; the system keeps the others in its cache as long as memory
/// allows, and reads them from the disk again where it does not.
final class WeightFile {
  private let descriptor: Int32
  private let base: UnsafeMutableRawPointer
  private let capacity: Int
  private var used = 0

  /// Linux's O_TMPFILE, which Swift does not import.
  private static let nameless: Int32 = 0o20_000_000 | O_DIRECTORY

  /// - Parameter capacity: bytes of address space that are reserved; the file grows as it is used.
  init(capacity: Int, context: String) throws(EngineError) {
    // The disk's temporary folder: /tmp may be memory itself.
    let folder = getenv("TMPDIR").map { FileName.text($0) } ?? "/var/tmp"
    var descriptor = open(folder, O_RDWR | Self.nameless | O_CLOEXEC, 0o600)
    if descriptor < 0 {
      // File systems without nameless files.
      var template = FileName.bytes("\(folder)/sdloom-weights-XXXXXX")
      descriptor = mkstemp(&template)
      if descriptor >= 0 { unlink(template) }
    }
    guard descriptor >= 0 else {
      throw EngineError(
        .memory, "no temporary file for weights can be made in \(folder)", context: context)
    }
    guard ftruncate(descriptor, capacity) == 0,
      let base = mmap(nil, capacity, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0),
      base != MAP_FAILED
    else {
      close(descriptor)
      throw EngineError(
        .memory, "a temporary file of \(capacity) bytes cannot be mapped", context: context)
    }
    self.descriptor = descriptor
    self.base = base
    self.capacity = capacity
  }

  deinit {
    munmap(base, capacity)
    close(descriptor)
  }

  /// Room in the file, in pages of its own.
  ///
  /// - Returns: nil where the file is full.
  func room(_ byteCount: Int) -> UnsafeMutableRawPointer? {
    let size = (byteCount + 4095) / 4096 * 4096
    // What the disk cannot hold would end the process when it is written.
    guard used + size <= capacity, posix_fallocate(descriptor, used, size) == 0 else { return nil }
    defer { used += size }
    return base + used
  }

  /// Starts to read what of the file's bytes the system's cache does not hold. Read as they are
  /// touched, they would come a few pages at a time, with a wait for each.
  func fetch(_ bytes: UnsafeRawBufferPointer) {
    // Rooms start at pages of their own.
    madvise(UnsafeMutableRawPointer(mutating: bytes.baseAddress), bytes.count, MADV_WILLNEED)
  }

  /// Gives back the pages that are mapped now; they are read again where they are needed.
  func release() {
    madvise(base, used, MADV_DONTNEED)
  }
}
