package js

import (
	"math/big"
	"reflect"
	"strings"

	"github.com/dop251/goja/ast"
)

// needs says which of the guards a script can need: making all of them takes
// longer than a usual script. Functions of prototypes can be reached under names
// that are put together at run time and are always guarded. Global ones can be
// reached only under names that the source has, unless the global object is at
// hand: as globalThis, or as this outside of classes, whose code is strict.
type needs struct {
	recvTime bool
	console  bool
	bigInt   bool     // it has numbers or functions of BigInt
	makers   bool     // it has generators or async functions
	globals  []string // of guarded that are within reach
}

// guarded are the global names that have guards.
var guarded = append([]string{"eval", "Function", "Reflect", "JSON", "DataView", "ArrayBuffer"}, typedArrays...)

var typedArrays = []string{"Int8Array", "Uint8Array", "Uint8ClampedArray", "Int16Array", "Uint16Array", "Int32Array",
	"Uint32Array", "Float32Array", "Float64Array"}

// needsOf looks through a script.
func needsOf(source string, tree *ast.Program) needs {
	n := needs{recvTime: strings.Contains(source, "recvTime"), bigInt: strings.Contains(source, "BigInt")}
	names := map[string]bool{}
	open, strict := false, 0
	var visit func(any) bool
	visit = func(node any) bool {
		switch e := node.(type) {
		case ast.Identifier:
			names[e.Name.String()] = true
			n.bigInt = n.bigInt || strings.Contains(e.Name.String(), "BigInt")
		case *ast.ThisExpression:
			open = open || strict == 0
		case *ast.NumberLiteral:
			_, isBig := e.Value.(*big.Int)
			n.bigInt = n.bigInt || isBig
		case *ast.FunctionLiteral:
			n.makers = n.makers || e.Async || e.Generator
		case *ast.ArrowFunctionLiteral:
			n.makers = n.makers || e.Async
		case *ast.FieldDefinition:
			walk(e.Key, visit) // its this is that around the class
			strict++
			walk(e.Initializer, visit)
			strict--
			return false
		case *ast.MethodDefinition:
			walk(e.Key, visit)
			strict++
			walk(e.Body, visit)
			strict--
			return false
		case *ast.ClassStaticBlock:
			strict++
			walk(e.Block, visit)
			strict--
			return false
		}
		return true
	}
	walk(tree, visit)
	open = open || names["globalThis"]
	n.console = open || names["console"]
	for _, name := range guarded {
		if open || names[name] {
			n.globals = append(n.globals, name)
		}
	}
	if n.bigInt {
		n.globals = append(n.globals, "BigInt")
	} else if open {
		n.globals = append(n.globals, "no BigInt")
	}
	return n
}

// walk calls visit for a node of a syntax tree and, where it returns true, for
// what is below. Nodes come as pointers, but for identifiers.
func walk(node any, visit func(any) bool) { walkValue(reflect.ValueOf(node), visit) }

func walkValue(v reflect.Value, visit func(any) bool) {
	switch v.Kind() {
	case reflect.Interface:
		walkValue(v.Elem(), visit)
	case reflect.Pointer:
		if v.IsNil() || v.Elem().Kind() != reflect.Struct {
			return
		}
		if v.Type() == reflect.TypeFor[*ast.Identifier]() || visit(v.Interface()) {
			walkValue(v.Elem(), visit)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[ast.Identifier]() {
			visit(v.Interface())
			return
		}
		if v.Type().PkgPath() != reflect.TypeFor[ast.Program]().PkgPath() {
			return
		}
		for i := range v.NumField() {
			// Declarations are listed apart too, below what they are in.
			if f := v.Type().Field(i); f.IsExported() && f.Name != "DeclarationList" {
				walkValue(v.Field(i), visit)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			walkValue(v.Index(i), visit)
		}
	}
}
