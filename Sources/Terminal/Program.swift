import ArgumentParser
import Glibc
import ModelFormats
import OrderedJSON

/// A program's root command: parses, runs, and turns every error into an exit status and a message.
public protocol Program: ParsableCommand {
  /// Rejects bad arguments with clearer errors than the parser's. Does nothing by default.
  static func check(_ arguments: [String]) throws(Failure)
}

extension Program {
  public static func check(_ arguments: [String]) throws(Failure) {}

  /// Parses the arguments, runs the command and ends the process.
  public static func start() -> Never {
    // A closed pipe causes a write error, which ends the program quietly.
    signal(SIGPIPE, SIG_IGN)
    // So does exceeding a file size limit.
    signal(SIGXFSZ, SIG_IGN)
    InputFiles.watch()
    let arguments = FileName.arguments
    let isJSON = arguments.contains("--json")
    Interruption.prepare(isJSON: isJSON)
    removeUnfinishedOnSignals()
    sayWhereMemoryEnds(isJSON: isJSON)
    var command: any ParsableCommand
    do {
      try check(arguments)
      command = try parseAsRoot(arguments)
    } catch let failure as Failure {
      end(failure, isJSON: isJSON)
    } catch {
      guard exitCode(for: error) == .validationFailure else { end(asParserSays: error) }
      end(Failure.usage(message(for: error), hint: "run it with --help"), isJSON: isJSON)
    }
    do {
      try command.run()
    } catch let ended as Ended {
      if ended.status != .interrupted { endIfInputsChanged(isJSON: isJSON) }
      Glibc.exit(ended.status.rawValue)
    } catch {
      if (error as? Failure)?.status != .interrupted { endIfInputsChanged(isJSON: isJSON) }
      // The parser's own results: help, version, and invalid values.
      let isParsers = exitCode(for: error) != .failure || error is CleanExit || error is ExitCode
      if isParsers, !(error is Failure), !(error is FormatError) { end(asParserSays: error) }
      end(Failure(wrapping: error), isJSON: isJSON)
    }
    if !InputFiles.shared.hasOutput { endIfInputsChanged(isJSON: isJSON) }
    Glibc.exit(ExitStatus.success.rawValue)
  }

  /// Output is not reliable if a file changed while it was read.
  private static func endIfInputsChanged(isJSON: Bool) {
    do throws(FormatError) {
      try InputFiles.shared.requireUnchanged()
    } catch {
      end(Failure(error), isJSON: isJSON)
    }
  }

  /// Signals such as Ctrl-C end the program without partial outputs. Signals that were ignored at
  /// start, as with nohup, stay ignored.
  private static func removeUnfinishedOnSignals() {
    // Creates the handler's table, which the handler itself must not do.
    FileWriter.removeUnfinished()
    for number in [SIGINT, SIGTERM, SIGHUP] {
      var former = sigaction()
      sigaction(number, nil, &former)
      if unsafeBitCast(former.__sigaction_handler.sa_handler, to: Int.self)
        == unsafeBitCast(SIG_IGN, to: Int.self)
      {
        continue
      }
      signal(number) { number in
        FileWriter.removeUnfinished()
        Interruption.write()
        _exit(128 + number)
      }
    }
  }

  /// Without this, a failed allocation traps without a message.
  private static func sayWhereMemoryEnds(isJSON: Bool) {
    let failure = Failure(
      .software, code: "memory", "not enough memory",
      hint: "close other programs, or raise the limits that are set for this one: ulimit -v, -d")
    let text = isJSON ? failure.json.text(.compact) : failure.text
    MemoryShortage.endProgram(saying: text + "\n", status: failure.status.rawValue)
  }

  /// Ends like the parser, with help and version on stdout, but not with status 0 if they cannot be
  /// written.
  private static func end(asParserSays error: any Error) -> Never {
    let status = exitCode(for: error)
    let text = fullMessage(for: error)
    if !text.isEmpty { status.isSuccess ? Console.print(text) : Console.note(text) }
    Glibc.exit(status.rawValue)
  }

  private static func end(_ failure: Failure, isJSON: Bool) -> Never {
    Console.note(
      isJSON ? failure.json.text(.compact) : failure.text(colours: Console.isErrorColoured))
    Glibc.exit(failure.status.rawValue)
  }
}

/// An early exit with a status, after everything was printed: `differs`, `interrupted`.
public struct Ended: Error {
  public let status: ExitStatus

  public init(_ status: ExitStatus) {
    self.status = status
  }
}
