package js

import (
	"math/big"
	"reflect"

	"github.com/dop251/goja"
	"github.com/dop251/goja/ast"
	"github.com/dop251/goja/token"
	"github.com/dop251/goja/unistring"
)

// Shifts and powers of BigInts can make numbers of any size in one instruction
// of goja, which nothing can stop. Their right operands go through a function
// that looks at them, in scripts that have BigInts at all; in others there are
// none.

// Limits of right operands.
const (
	maxShift = 4096
	maxPower = 64
	maxBits  = 64 << 10 // of a number that becomes a text or is raised to a power
)

// The names of the functions that look at operands. They cannot be written in a
// script.
const (
	shiftName = "\x00shift"
	baseName  = "\x00base"
	powerName = "\x00power"
)

// boundBigInts changes the shifts and powers of a script.
func boundBigInts(tree *ast.Program) {
	through := func(name string, e ast.Expression) ast.Expression {
		return &ast.CallExpression{
			Callee:           &ast.Identifier{Name: unistring.NewFromString(name), Idx: e.Idx0()},
			ArgumentList:     []ast.Expression{e},
			LeftParenthesis:  e.Idx0(),
			RightParenthesis: e.Idx1(),
		}
	}
	shifts := func(op token.Token) bool { return op == token.SHIFT_LEFT || op == token.SHIFT_RIGHT }
	walk(tree, func(node any) bool {
		switch e := node.(type) {
		case *ast.BinaryExpression:
			switch {
			case shifts(e.Operator):
				e.Right = through(shiftName, e.Right)
			case e.Operator == token.EXPONENT:
				e.Left, e.Right = through(baseName, e.Left), through(powerName, e.Right)
			}
		case *ast.AssignExpression:
			switch {
			case shifts(e.Operator):
				e.Right = through(shiftName, e.Right)
			case e.Operator == token.EXPONENT:
				e.Right = through(powerName, e.Right)
			}
		}
		return true
	})
}

// guardBigInt makes the functions that look at operands, and bounds those of
// class BigInt.
func (r *realm) guardBigInt(class *goja.Object) {
	look := func(name string, limit int64, bits bool) {
		f := r.rt.ToValue(func(call goja.FunctionCall) goja.Value {
			v := call.Argument(0)
			if o, ok := v.(*goja.Object); ok {
				v = o.ToNumber()
			}
			if n, ok := bigInt(v); ok {
				size := float64(n.BitLen())
				if !bits {
					size, _ = new(big.Float).SetInt(n).Float64()
				}
				r.atMost(max(size, -size), int(limit), "bits")
			}
			return v
		})
		_ = r.rt.GlobalObject().DefineDataProperty(name, f, goja.FLAG_FALSE, goja.FLAG_FALSE, goja.FLAG_FALSE)
	}
	look(shiftName, maxShift, false)
	look(powerName, maxPower, false)
	look(baseName, maxBits, true)
	for _, name := range []string{"asIntN", "asUintN"} {
		r.before(class, name, func(_ goja.Value, args []goja.Value) {
			r.atMost(argument(args, 0).ToFloat(), maxShift, "bits")
		})
	}
	if proto, ok := class.Get("prototype").(*goja.Object); ok {
		r.before(proto, "toString", func(this goja.Value, _ []goja.Value) {
			if n, ok := bigInt(this); ok {
				r.atMost(float64(n.BitLen()), maxBits, "bits")
			}
		})
	}
	global := r.rt.GlobalObject()
	r.before(global, "BigInt", func(_ goja.Value, args []goja.Value) {
		r.atMost(float64(r.length(argument(args, 0))), hugeInteger, "digits")
	})
	if proto, ok := class.Get("prototype").(*goja.Object); ok {
		_ = proto.DefineDataProperty("constructor", global.Get("BigInt"), goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE)
	}
	for _, name := range []string{"BigInt64Array", "BigUint64Array"} {
		if o, ok := global.Get(name).(*goja.Object); ok {
			r.guardBuffer(global, name, o)
		}
	}
}

// bigInt is the number of a BigInt.
func bigInt(v goja.Value) (*big.Int, bool) {
	if v == nil || v.ExportType() != reflect.TypeFor[*big.Int]() {
		return nil, false
	}
	n, ok := v.Export().(*big.Int)
	return n, ok
}
