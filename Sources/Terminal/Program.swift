import ArgumentParser
import Glibc
import ModelFormats
import OrderedJSON

/// A program's root command: parsing, running, and turning every error into the exit status and
/// the words that the contract of the command line promises.
public protocol Program: ParsableCommand {}

extension Program {
  /// Parses the arguments, runs the command and ends the process.
  public static func start() -> Never {
    // A reader that goes away shows as an error of write, which ends the program quietly.
    signal(SIGPIPE, SIG_IGN)
    // Makes the table that the handler reads, which a handler must not do itself.
    FileWriter.removeUnfinished()
    for number in [SIGINT, SIGTERM, SIGHUP] {
      signal(number) { number in
        FileWriter.removeUnfinished()
        _exit(128 + number)
      }
    }
    let arguments = Array(Swift.CommandLine.arguments.dropFirst())
    let isJSON = arguments.contains("--json")
    var command: any ParsableCommand
    do {
      command = try parseAsRoot(arguments)
    } catch {
      guard isJSON, exitCode(for: error) == .validationFailure else { exit(withError: error) }
      end(Failure.usage(message(for: error), hint: "run with --help"), isJSON: true)
    }
    do {
      try command.run()
    } catch let end as Ended {
      Glibc.exit(end.status.rawValue)
    } catch let error where error is CleanExit || error is ValidationError || error is ExitCode {
      exit(withError: error)
    } catch {
      end(Failure(wrapping: error), isJSON: isJSON)
    }
    Glibc.exit(ExitStatus.success.rawValue)
  }

  private static func end(_ failure: Failure, isJSON: Bool) -> Never {
    Console.note(isJSON ? failure.json.text(.compact) : failure.text)
    Glibc.exit(failure.status.rawValue)
  }
}

/// An early end with a status, after everything was printed: `differs`, `interrupted`.
public struct Ended: Error {
  public let status: ExitStatus

  public init(_ status: ExitStatus) {
    self.status = status
  }
}
