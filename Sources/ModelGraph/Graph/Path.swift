/// The location of a parameter in a network, under all namings.
///
/// A module's constructor walks the tree once and gives each child's name in both layouts, so the
/// mapping between them is a bijection by construction.
package struct Path {
  /// In diffusers' layout, for example `down_blocks.0.resnets.1`.
  let name: String
  /// Other spellings of the same.
  let aliases: [String]
  /// The prefix in single-file checkpoints, such as `model.diffusion_model.`.
  let prefix: String
  /// In the single-file layout, after the prefix, such as `input_blocks.2.0`.
  let singleFile: String
  /// Other spellings of the same.
  let singleFileAliases: [String]

  /// The root of a network.
  package init(
    name: String = "", aliases: [String] = [], prefix: String = "", singleFile: String = "",
    singleFileAliases: [String] = []
  ) {
    self.name = name
    self.aliases = aliases
    self.prefix = prefix
    self.singleFile = singleFile
    self.singleFileAliases = singleFileAliases
  }

  /// A child named `name` in diffusers and `singleFile` in single files (by default the same), with
  /// aliases in some files: `aliases` in diffusers' layout, `singleFileAliases` in the other.
  func child(
    _ name: String, singleFile: String? = nil, aliases: [String] = [],
    singleFileAliases: [String] = []
  ) -> Path {
    let single = singleFile ?? name
    return Path(
      name: Path.join(self.name, name),
      aliases: Path.spellings(self.name, self.aliases, name, aliases), prefix: prefix,
      singleFile: Path.join(self.singleFile, single),
      singleFileAliases: Path.spellings(
        self.singleFile, self.singleFileAliases, single, singleFileAliases))
  }

  /// The aliases of a child: its usual name below the parent's aliases, then its own aliases below
  /// each of the parent's names.
  private static func spellings(
    _ parent: String, _ parents: [String], _ child: String, _ children: [String]
  ) -> [String] {
    parents.map { join($0, child) }
      + children.flatMap { child in ([parent] + parents).map { join($0, child) } }
  }

  private static func join(_ left: String, _ right: String) -> String {
    if left.isEmpty { return right }
    return right.isEmpty ? left : left + "." + right
  }
}
