/// Names known to be harmful, with their effects for reports.
///
/// Safety is not decided here but by ``KnownGlobals``: a list of dangerous names is never complete.
enum DangerousGlobals {
  /// What unpickling would do with this name, if known to be harmful; otherwise nil.
  static func danger(of global: Pickle.Global) -> String? {
    guard KnownGlobals.rule(of: global) == nil else { return nil }
    // A name may have thousands of parts and reach anything.
    let parts = [global.module, global.name].map { part in
      part.utf8.count { $0 == UInt8(ascii: ".") }
    }
    guard parts[0] < partLimit, parts[1] < partLimit else { return reaches }
    let module = global.module.split(separator: ".")
    let name = global.name.split(separator: ".")
    if let reason = reason(for: (module + name)[...], isWhole: true) { return reason }
    if let reason = alias(in: module.dropFirst(), isName: false) { return reason }
    // A dotted name reaches through modules that others import: logging's `os.system`.
    if let reason = alias(in: name[...], isName: true) { return reason }
    if name.contains(where: inner.contains) { return reaches }
    return name.last.flatMap { functions[bare($0)] }
  }

  /// Whether a function name alone is harmful, in any module.
  static func isFunction(_ name: String) -> Bool { functions[bare(name[...])] != nil }

  /// More parts than any ordinary name has.
  private static let partLimit = 32

  /// Standard modules that do something on import.
  private static let acting: Set<Substring> = [
    "antigravity", "idlelib", "test", "turtledemo", "pip", "ensurepip", "venv", "lib2to3",
  ]

  /// The effect of importing a module; nil if there is no known effect.
  static func dangerOfModule(_ module: String) -> String? {
    let parts = module.split(separator: ".", maxSplits: partLimit)
    guard let first = parts.first, acting.contains(first) || parts.contains("__main__") else {
      return nil
    }
    return reason(for: parts[...], isWhole: true) ?? code
  }

  /// The longest listed prefix of a path determines the reason.
  private static func reason(for path: ArraySlice<Substring>, isWhole: Bool) -> String? {
    // No listed path is longer, but a name may have thousands of parts.
    for count in stride(from: min(path.count, 5), to: 0, by: -1) {
      let beginning = path.prefix(count).joined(separator: ".")
      if isWhole, exceptions.contains(beginning) { return nil }
      if let reason = reasons[beginning] { return reason }
    }
    return nil
  }

  /// The effect of a listed module among the parts, by its own name or, as modules import each
  /// other, after underscores: `argparse._os`, `random._os.system`.
  private static func alias(in parts: ArraySlice<Substring>, isName: Bool) -> String? {
    for position in parts.indices {
      let part = bare(parts[position])
      if let reason = unmistakable[part] { return reason }
      guard isName, position < parts.endIndex - 1 else { continue }
      // At most the length of a listed path, because a name may have thousands of parts.
      var path = parts[position..<min(position + 5, parts.endIndex)]
      path[position] = part
      if let reason = reason(for: path, isWhole: false) { return reason }
    }
    return nil
  }

  /// A name without leading underscores; Python's names with double underscores on both sides are
  /// unchanged.
  private static func bare(_ name: Substring) -> Substring {
    name.hasPrefix("__") && name.hasSuffix("__") ? name : name.drop { $0 == "_" }
  }

  /// Attributes that lead from Python objects to others, and to all modules.
  private static let inner: Set<Substring> = [
    "__globals__", "__builtins__", "__subclasses__", "__code__", "__dict__", "__class__",
    "__getattribute__", "__getattr__", "__setattr__", "__delattr__", "__closure__", "__mro__",
    "__base__", "__bases__", "__loader__", "__spec__", "__self__", "__func__", "__wrapped__",
    "__defaults__", "__kwdefaults__", "__init_subclass__", "__reduce__", "__reduce_ex__",
    "func_globals", "func_code", "im_func", "im_self", "f_globals", "f_locals", "f_builtins",
    "gi_frame", "cr_frame", "tb_frame",
  ]

  /// Harmless paths below listed ones.
  private static let exceptions: Set<String> = ["joblib.numpy_pickle.NumpyArrayWrapper"]

  /// Modules with unique names.
  private static let unmistakable: [Substring: String] = {
    var names: [Substring: String] = [:]
    for name in """
    os posix nt sys subprocess posixsubprocess builtins __builtins__ __builtin__ ctypes importlib
    pty shutil socket runpy
    """.split(whereSeparator: \.isWhitespace) {
      names[name] = reasons[String(name)] ?? reasons["_" + name] ?? reaches
    }
    return names
  }()

  /// Functions whose name alone decides, in any module.
  private static let functions: [Substring: String] = {
    var functions: [Substring: String] = [:]
    for (reason, names) in [
      (
        commands,
        """
        system popen popen2 popen3 popen4 Popen check_output check_call getoutput getstatusoutput
        spawnl spawnle spawnlp spawnlpe spawnv spawnve spawnvp spawnvpe execl execle execlp execlpe
        execv execve execvp execvpe posix_spawn posix_spawnp startfile fork_exec exec_command
        """
      ),
      (
        code,
        """
        eval exec execfile __import__ import_module load_module exec_module run_module run_path
        run_code runcode runsource run_string runstring evaluate_guards_expression evaluate
        create_dynamic load_library load_source load_dynamic
        """
      ),
      (further, "unpickle read_pickle load_pickle pickle_load"),
      (network, "urlopen urlretrieve urlcleanup"),
      (
        files,
        """
        open builtin_open open_code write_text write_bytes read_text read_bytes unlink rmtree
        hardlink_to symlink_to
        """
      ),
      (reaches, "getattr setattr delattr globals attrgetter methodcaller itemgetter resolve_name"),
    ] {
      for name in names.split(whereSeparator: \.isWhitespace) { functions[name] = reason }
    }
    return functions
  }()

  /// Modules (with everything in them) and single names, by effect.
  private static let reasons: [String: String] = {
    var reasons: [String: String] = [:]
    for (reason, names) in lists {
      for name in names.split(whereSeparator: \.isWhitespace) { reasons[String(name)] = reason }
    }
    // Python 2 has another name for the built-ins module.
    for (name, reason) in reasons where name.hasPrefix("builtins.") {
      reasons["__builtin__." + name.dropFirst("builtins.".count)] = reason
    }
    return reasons
  }()

  private static let commands = "runs commands or changes files"
  private static let code = "runs code"
  private static let further = "unpickles further data"
  private static let network = "uses the network"
  private static let files = "reads or changes files"
  private static let reaches = "reaches into other objects"
  private static let calls = "calls whatever it is given"

  private static let lists: [(reason: String, names: String)] = [
    (
      commands,
      """
      os posix nt posixpath.os ntpath.os genericpath.os subprocess _posixsubprocess _winapi commands
      popen2 pty multiprocessing concurrent asyncio pexpect ptyprocess sh plumbum invoke sarge
      distutils setuptools pkg_resources ensurepip venv virtualenv pip webbrowser antigravity
      _osx_support _aix_support _android_support _ios_support uuid._get_command_stdout uuid._popen
      test.run test.support platform.popen platform._syscmd_ver platform._syscmd_file pipes mailcap imaplib.IMAP4_stream
      compileall py_compile zipapp nturl2path.os winreg _winreg msvcrt msilib fcntl resource
      faulthandler readline syslog numpy.distutils numpy.f2py torch.utils.cpp_extension
      torch.distributed.launcher torch.distributed.elastic torch.distributed.run
      torch.distributed.launch torch.multiprocessing torch.utils.collect_env
      torch.utils.benchmark torch.cuda._memory_viz torch.utils.hipify
      """
    ),
    (
      code,
      """
      builtins.eval builtins.exec builtins.execfile builtins.compile builtins.__import__
      builtins.breakpoint builtins.input builtins.raw_input builtins.apply builtins.reload
      builtins.__build_class__
      sys importlib _frozen_importlib _frozen_importlib_external _imp imp zipimport pkgutil runpy code
      codeop timeit pdb bdb profile cProfile _lsprof trace tracemalloc doctest unittest pydoc idlelib
      lib2to3 cgitb cgi site atexit threading _thread _threading_local dummy_threading signal _signal
      marshal sched types.CodeType types.FunctionType types.LambdaType types.new_class types.resolve_bases
      types.prepare_class ctypes _ctypes cffi _cffi_backend _cffi numba Cython pyximport
      logging.config _pyrepl rlcompleter tkinter _tkinter turtle turtledemo IPython jinja2 mako yaml ruamel
      modulefinder cmd symtable gettext.c2py typing.ForwardRef typing._eval_type
      typing.get_type_hints annotationlib dataclasses._create_fn dataclasses.make_dataclass
      dataclasses._process_class
      weakref.finalize _xxsubinterpreters _xxinterpchannels _interpreters _interpchannels
      concurrent.interpreters _testcapi _testinternalcapi _ast
      pandas.eval pandas.core.computation sympy.sympify sympy.parsing sympy.lambdify
      sympy.utilities.lambdify sympy.utilities.autowrap numpy.testing numpy.runstring
      numpy.exec_command numpy.ctypeslib numexpr
      torch.compile torch.hub torch.jit torch._dynamo torch._inductor torch.package
      torch.testing torch.ops torch._ops torch.classes torch._classes torch._jit_internal
      torch.fx.graph_module torch.fx.experimental torch.fx._lazy_graph_module torch.fx.graph
      torch.utils.bottleneck torch.utils.data.datapipes torch.utils._config_module
      torch.onnx.verification torch.export torch._export torch._functorch torch.autograd.Function
      torch.library torch._library torch.onnx
      tensorflow.keras.layers.Lambda keras.layers.Lambda keras.src.layers.core.lambda_layer
      tensorflow.load_library tensorflow.load_op_library tensorflow.py_function
      tensorflow.numpy_function
      """
    ),
    (
      further,
      """
      pickle _pickle cPickle pickletools _compat_pickle shelve dill cloudpickle joblib jsonpickle
      torch.load torch.serialization torch.distributed.checkpoint torch.utils.model_dump
      torch.utils.serialization numpy.load numpy.lib.npyio numpy.lib._npyio_impl numpy.lib.format
      numpy.lib._format_impl numpy.core.records.fromfile
      pandas.read_pickle pandas.io.pickle keras.models.load_model keras.saving keras.src.saving
      tensorflow.keras.models.load_model tensorflow.saved_model copyreg.pickle copyreg.constructor
      copyreg.add_extension copyreg.dispatch_table copyreg._extension_registry
      copyreg._inverted_registry copyreg._extension_cache _codecs.register codecs.register
      """
    ),
    (
      network,
      """
      socket _socket ssl _ssl socketserver SocketServer http httplib BaseHTTPServer SimpleHTTPServer
      CGIHTTPServer urllib urllib2 urllib3 requests aiohttp httpx ftplib smtplib smtpd poplib imaplib
      nntplib telnetlib xmlrpc xmlrpclib wsgiref websocket websockets boto3 botocore paramiko fabric
      asyncore asynchat selectors select tornado twisted flask werkzeug
      huggingface_hub torch.distributed.rpc torch.utils.model_zoo torch.utils.tensorboard
      """
    ),
    (
      files,
      """
      builtins.open builtins.file io.open io.open_code io.FileIO _io.open _io.open_code _io.FileIO
      _pyio.open _pyio.open_code _pyio.FileIO
      codecs.open tokenize.open shutil tempfile zipfile tarfile fileinput linecache filecmp glob
      sqlite3 _sqlite3 dbm _dbm _gdbm anydbm whichdb mmap gzip bz2 lzma aifc wave sunau sndhdr uu
      binhex netrc plistlib mailbox nis pwd grp spwd
      logging.FileHandler logging.handlers logging.basicConfig torch.save torch.from_file
      numpy.save numpy.savez numpy.savez_compressed numpy.savetxt numpy.memmap numpy.fromfile
      numpy.genfromtxt numpy.loadtxt numpy.DataSource numpy.lib._datasource numpy.lib.DataSource
      pandas.io fsspec smart_open
      tensorflow.io tensorflow.raw_ops tensorflow.python.ops.gen_io_ops
      """
    ),
    (
      reaches,
      """
      builtins.getattr builtins.setattr builtins.delattr builtins.globals builtins.locals
      builtins.vars builtins.super
      operator.attrgetter operator.methodcaller operator.itemgetter operator.call operator.setitem
      operator.delitem operator.iadd
      _operator.attrgetter _operator.methodcaller _operator.itemgetter _operator.call
      _operator.setitem _operator.delitem
      inspect gc types.MethodType types.ModuleType types.CellType
      """
    ),
    (
      calls,
      """
      functools.partial functools.partialmethod functools.reduce functools.singledispatch
      _functools.partial _functools.reduce builtins.map builtins.filter builtins.reduce
      builtins.sorted itertools.starmap itertools.accumulate itertools.takewhile itertools.dropwhile
      itertools.filterfalse itertools.groupby contextlib contextvars.Context
      numpy.vectorize numpy.frompyfunc numpy.apply_along_axis numpy.apply_over_axes
      numpy.fromfunction numpy.piecewise torch.utils.checkpoint torch.func torch.vmap
      """
    ),
  ]
}

extension Pickle.Global {
  /// What unpickling would do with this name, if known to be harmful; otherwise nil.
  package var danger: String? { DangerousGlobals.danger(of: self) }

  /// The effect of importing its module, if known to be harmful; otherwise nil.
  var dangerOfModule: String? { DangerousGlobals.dangerOfModule(module) }
}
