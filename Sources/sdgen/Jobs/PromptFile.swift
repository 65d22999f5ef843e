import Diffusion
import Glibc
import ModelFormats
import OrderedJSON
import Terminal

/// The prompts of a job.
enum PromptFile {
  /// The most bytes of a file of prompts.
  private static let limit = 16 << 20

  /// The prompts to draw: the one given, or those of the file.
  ///
  /// - Throws: ``Failure``, ``FormatError`` where the file cannot be read or holds none.
  static func prompts(of job: DrawingJob) throws -> [String] {
    guard let promptsFrom = job.promptsFrom else { return [job.prompt ?? ""] }
    let bytes = try contents(of: promptsFrom)
    guard !bytes.contains(0), let text = String(validating: bytes, as: UTF8.self) else {
      throw FormatError(
        .malformed, "this is not UTF-8 text without zeros", file: promptsFrom,
        hint: "give a text file of one prompt a line")
    }
    let prompts = text.split(whereSeparator: \.isNewline)
      .filter { $0.first != "#" && $0.contains { !$0.isWhitespace } }
    guard !prompts.isEmpty else {
      throw FormatError(
        .malformed, "there is no prompt in it", file: promptsFrom,
        hint: "write one prompt a line; lines that begin with # are left out")
    }
    for prompt in prompts where prompt.utf8.count > GenerationRequest.promptLimit {
      throw FormatError(
        .unsupported,
        "a prompt has \(prompt.utf8.count) bytes; \(GenerationRequest.promptLimit) is the limit",
        file: promptsFrom, hint: "shorten the line that begins with \(prompt.prefix(20))")
    }
    guard prompts.count <= 10_000 else {
      throw FormatError(
        .unsupported, "it holds \(prompts.count.of("prompt"))", file: promptsFrom,
        hint: "give at most 10000 at a time")
    }
    return prompts.map(String.init)
  }

  private static func contents(of path: String) throws(FormatError) -> [UInt8] {
    let descriptor = path == "-" ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
      throw FormatError(
        errno == ENOENT ? .notFound : .inputOutput,
        "the file cannot be opened: \(String(cString: strerror(errno)))", file: path)
    }
    defer { if path != "-" { close(descriptor) } }
    InputFiles.shared.note(descriptor, path: path)
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 64 << 10)
    while bytes.count <= limit {
      let count = read(descriptor, &buffer, buffer.count)
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else {
        throw FormatError(
          .inputOutput, "reading failed: \(String(cString: strerror(errno)))", file: path)
      }
      guard count > 0 else { return bytes }
      bytes += buffer[..<count]
    }
    throw FormatError(
      .unsupported, "the file is longer than \(limit >> 20) MiB", file: path,
      hint: "give a text file of one prompt a line")
  }
}

/// A textual inversion as it is given: a file, and perhaps a word behind a colon.
enum EmbeddingArgument {
  /// The file that an argument names, and the word behind it, if there is one.
  static func split(_ argument: String) -> (path: String, token: String?) {
    // A file's own name may hold a colon.
    guard access(argument, F_OK) != 0, let colon = argument.lastIndex(of: ":") else {
      return (argument, nil)
    }
    return (String(argument[..<colon]), String(argument[argument.index(after: colon)...]))
  }

  /// The textual inversions that were given.
  ///
  /// - Throws: ``Failure`` where two would stand for the same word; ``FormatError``.
  static func load(_ arguments: [String]) throws -> [TextualInversion] {
    var result: [TextualInversion] = []
    for argument in arguments {
      let (path, token) = split(argument)
      for embedding in try TextualInversion.read(path, token: token) {
        guard !result.contains(where: { $0.token == embedding.token }) else {
          throw Failure.usage(
            "two embeddings are called \(embedding.token)", hint: "name one of them: FILE:WORD")
        }
        result.append(embedding)
      }
    }
    return result
  }
}
