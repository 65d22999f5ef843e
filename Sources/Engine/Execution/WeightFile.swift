import Glibc
import ModelFormats

/// Packed weights in an unnamed file instead of anonymous memory.
///
/// The whole file is mapped. After each layer its pages are released, so only one layer's weights
/// count as resident; the page cache keeps the others while memory allows, and the disk is read
/// again otherwise.
final class WeightFile {
  private let descriptor: Int32
  private let base: UnsafeMutableRawPointer
  private let capacity: Int
  private var used = 0

  /// Linux's O_TMPFILE, which Swift does not import.
  private static let nameless: Int32 = 0o20_000_000 | O_DIRECTORY

  /// - Parameter capacity: reserved address space in bytes; the file grows on use.
  init(capacity: Int, context: String) throws(EngineError) {
    // The temporary directory on disk: /tmp may be in memory.
    let folder = getenv("TMPDIR").map { FileName.text($0) } ?? "/var/tmp"
    var descriptor = open(folder, O_RDWR | Self.nameless | O_CLOEXEC, 0o600)
    if descriptor < 0 {
      // For file systems without unnamed files.
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

  /// Allocates separate pages in the file.
  ///
  /// - Returns: nil if the file is full.
  func room(_ byteCount: Int) -> UnsafeMutableRawPointer? {
    let size = (byteCount + 4095) / 4096 * 4096
    // Writing beyond the disk's space would end the process.
    guard used + size <= capacity, posix_fallocate(descriptor, used, size) == 0 else { return nil }
    defer { used += size }
    return base + used
  }

  /// Starts reading the bytes that are not in the page cache. Read on access, they would arrive a
  /// few pages at a time, with a wait for each.
  func fetch(_ bytes: UnsafeRawBufferPointer) {
    // Allocations start at page boundaries.
    madvise(UnsafeMutableRawPointer(mutating: bytes.baseAddress), bytes.count, MADV_WILLNEED)
  }

  /// Releases all mapped pages; they are read again when needed.
  func release() {
    madvise(base, used, MADV_DONTNEED)
  }
}
