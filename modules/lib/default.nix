# The module system. Names and meaning are those of nixpkgs' `lib`, so that one option file
# evaluates under either; the code is ours, so that a cloud evaluates without fetching nixpkgs.
#
# Files are read when something in them is used: most evaluations use few of the plain functions.
let
  # `extend` as for package sets: modules get the extended library.
  make =
    extension:
    let
      basics = import ./basics.nix;
      show = import ./show.nix { inherit basics; };
      properties = import ./properties.nix { inherit basics; };
      options = import ./options.nix {
        inherit
          basics
          show
          properties
          types
          ;
      };
      declarations = import ./declarations.nix {
        inherit
          basics
          show
          options
          types
          ;
        inherit (types) submoduleWith;
      };
      tree = import ./tree.nix {
        inherit
          basics
          show
          properties
          options
          declarations
          ;
      };
      types = import ./types {
        inherit
          basics
          show
          properties
          options
          modules
          tree
          declarations
          ;
      };
      modules = import ./modules.nix {
        inherit
          basics
          show
          properties
          options
          types
          tree
          lib
          ;
      };
      rename = import ./rename.nix {
        inherit
          show
          properties
          options
          types
          ;
        basics = lib;
      };
      generators = import ./generators.nix { inherit show; basics = lib; };
      docs = import ./docs.nix {
        inherit
          basics
          show
          options
          generators
          ;
      };

      lists = import ./plain/lists.nix { inherit lib; };
      attrsets = import ./plain/attrsets.nix { inherit lib; };
      strings = import ./plain/strings.nix { inherit lib show; };
      trivial = import ./plain/trivial.nix { inherit lib show; };

      ofModules = {
        inherit (modules) evalModules;
        inherit (options) mergeDefinitions;
        inherit (tree) evalOptionValue;
        inherit (declarations) fixupOptionType mergeOptionDecls;
        inherit (rename)
          doRename
          mkAliasOptionModule
          mkAliasOptionModuleMD
          mkChangedOptionModule
          mkMergedOptionModule
          mkRemovedOptionModule
          mkRenamedOptionModule
          mkRenamedOptionModuleWith
          ;
        inherit (modules)
          fixMergeModules
          importApply
          mergeAttrDefinitionsWithPrio
          setDefaultModuleLocation
          ;
      }
      // properties.public;
      ofOptions = {
        inherit (docs)
          optionAttrSetToDocList
          optionAttrSetToDocList'
          optionsToMan
          optionsToMarkdown
          renderOptionValue
          scrubOptionValue
          ;
      }
      // options.public;

      base =
        basics
        // ofModules
        // ofOptions
        // {
          inherit (lists)
            allUnique
            commonPrefix
            compareLists
            count
            crossLists
            dropEnd
            findFirst
            findFirstIndex
            findSingle
            fold
            foldl
            foldr
            forEach
            groupBy'
            ifilter0
            init
            intersectLists
            listDfs
            mutuallyExclusive
            naturalSort
            remove
            replaceElemAt
            replicate
            singleton
            sortOn
            sublist
            subtractLists
            takeEnd
            toposort
            unique
            uniqueStrings
            zipLists
            zipListsWith
            ;
          inherit (attrsets)
            attrByPath
            attrVals
            attrsToList
            cartesianProduct
            chooseDevOutputs
            collect
            concatAttrValues
            dontRecurseIntoAttrs
            filterAttrsRecursive
            foldAttrs
            foldlAttrs
            genAttrs'
            getAttrFromPath
            getAttrs
            getBin
            getDev
            getExe
            getExe'
            getFirstOutput
            getLib
            getMan
            getOutput
            hasAttrByPath
            mapAttrsRecursive
            mapAttrsRecursiveCond
            mapAttrsToListRecursive
            mapAttrsToListRecursiveCond
            mapCartesianProduct
            matchAttrs
            mergeAttrs
            mergeAttrsList
            overrideExisting
            recurseIntoAttrs
            recursiveUpdateUntil
            showAttrPath
            updateManyAttrsByPath
            zipAttrs
            zipAttrsWithNames
            ;
          inherit (trivial)
            assertEachOneOf
            assertMsg
            assertOneOf
            bitNot
            boolToString
            boolToYesNo
            checkListOfEnum
            compare
            composeExtensions
            composeManyExtensions
            concat
            converge
            defaultTo
            extends
            fix
            fix'
            flip
            fromHexString
            getName
            getVersion
            importJSON
            importTOML
            inNixShell
            inPureEvalMode
            isInOldestRelease
            makeExtensible
            makeExtensibleWithCustomName
            mapNullable
            mirrorFunctionArgs
            mod
            oldestSupportedRelease
            oldestSupportedReleaseIsAtLeast
            pipe
            setFunctionArgs
            splitByAndCompare
            throwIf
            throwIfNot
            toBaseDigits
            toExtension
            toFunction
            toHexString
            traceIf
            traceSeq
            traceVal
            traceValFn
            traceValSeq
            versionAtLeast
            versionOlder
            versions
            warn
            warnIf
            warnIfNot
            xor
            ;
          inherit (strings)
            addContextFrom
            charToInt
            cmakeBool
            cmakeFeature
            cmakeOptionType
            commonPrefixLength
            commonSuffixLength
            concatImapStrings
            concatImapStringsSep
            concatMapAttrsStringSep
            enableFeature
            enableFeatureAs
            escape
            escapeC
            escapeNixIdentifier
            escapeNixString
            escapeRegex
            escapeShellArg
            escapeShellArgs
            escapeURL
            escapeXML
            fileContents
            fixedWidthString
            floatToString
            hasInfix
            intersperse
            isCoercibleToString
            isConvertibleWithToString
            isStorePath
            isValidPosixName
            join
            levenshtein
            levenshteinAtMost
            lowerChars
            makeBinPath
            makeIncludePath
            makeLibraryPath
            makeSearchPath
            makeSearchPathOutput
            mesonBool
            mesonEnable
            mesonOption
            nameFromURL
            readPathsFromFile
            replaceString
            sanitizeDerivationName
            splitString
            splitStringBy
            stringAsChars
            toInt
            toIntBase10
            toLower
            toSentenceCase
            toShellVar
            toShellVars
            toUpper
            trim
            trimWith
            upperChars
            withFeature
            withFeatureAs
            ;
          inherit generators types;
          inherit (types)
            defaultFunctor
            defaultTypeMerge
            isOptionType
            isType
            mkOptionType
            setType
            ;
          modules = ofModules // {
            importJSON = file: {
              _file = file;
              config = lib.importJSON file;
            };
            importTOML = file: {
              _file = file;
              config = lib.importTOML file;
            };
          };
          options = ofOptions;
          lists = plain // lists;
          attrsets = plain // attrsets;
          strings = plain // strings;
          trivial = plain // trivial;
          asserts = { inherit (trivial) assertMsg assertOneOf assertEachOneOf; };
          fixedPoints = trivial;
          extend = more: make (final: previous: let first = previous // extension final previous; in first // more final first);
        };
      # What the names of nixpkgs' parts have in common.
      plain = basics;
      lib = base // extension lib base;
    in
    lib;
in
make (_: _: { })
