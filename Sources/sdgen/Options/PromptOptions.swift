import ArgumentParser

/// What the picture shows.
struct PromptOptions: ParsableArguments {
  @Argument(help: ArgumentHelp("What the picture shows.", valueName: "prompt"))
  var text: String

  @Option(help: ArgumentHelp("What the picture should not show.", valueName: "text"))
  var negative = ""
}
