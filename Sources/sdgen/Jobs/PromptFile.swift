import Diffusion
import Glibc
import ModelFormats
import OrderedJSON
import Terminal

/// The prompts of a job.
enum PromptFile {
  /// The maximum size of a prompts file.
  private static let limit = 16 << 20

  /// The prompts: the given one, or those of the file.
  ///
  /// - Throws: ``Failure``, ``FormatError`` if the file cannot be read or has no prompts.
  static func prompts(of job: DrawingJob) throws -> [String] {
    guard let promptsFrom = job.promptsFrom else { return [job.prompt ?? ""] }
    let bytes = try contents(of: promptsFrom)
    guard !bytes.contains(0), let text = String(validating: bytes, as: UTF8.self) else {
      throw FormatError(
        .malformed, "not UTF-8 text, or it contains NUL", file: promptsFrom,
        hint: "use a text file with one prompt per line")
    }
    let prompts = text.split(whereSeparator: \.isNewline)
      .filter { $0.first != "#" && $0.contains { !$0.isWhitespace } }
    guard !prompts.isEmpty else {
      throw FormatError(
        .malformed, "no prompts in the file", file: promptsFrom,
        hint: "write one prompt per line; lines that begin with # are skipped")
    }
    for prompt in prompts where prompt.utf8.count > GenerationRequest.promptLimit {
      throw FormatError(
        .unsupported,
        "a prompt has \(prompt.utf8.count) bytes, more than the limit of \(GenerationRequest.promptLimit)",
        file: promptsFrom, hint: "shorten the line that begins with \(prompt.prefix(20))")
    }
    guard prompts.count <= 10_000 else {
      throw FormatError(
        .unsupported, "too many prompts (\(prompts.count))", file: promptsFrom,
        hint: "use at most 10000 prompts per file")
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
      .unsupported, "the file exceeds the limit of \(limit >> 20) MiB", file: path,
      hint: "use a text file with one prompt per line")
  }
}

/// A textual inversion argument: a file, optionally with a colon and a word.
enum EmbeddingArgument {
  /// The file in an argument, and the word after it, if any.
  static func split(_ argument: String) -> (path: String, token: String?) {
    // A file name may contain a colon.
    guard access(argument, F_OK) != 0, let colon = argument.lastIndex(of: ":") else {
      return (argument, nil)
    }
    return (String(argument[..<colon]), String(argument[argument.index(after: colon)...]))
  }

  /// The given textual inversions.
  ///
  /// - Throws: ``Failure`` if two have the same trigger word; ``FormatError``.
  static func load(_ arguments: [String]) throws -> [TextualInversion] {
    var result: [TextualInversion] = []
    for argument in arguments {
      let (path, token) = split(argument)
      for embedding in try TextualInversion.read(path, token: token) {
        guard !result.contains(where: { $0.token == embedding.token }) else {
          throw Failure.usage(
            "two embeddings are named \(embedding.token)", hint: "rename one of them: FILE:WORD")
        }
        result.append(embedding)
      }
    }
    return result
  }
}
