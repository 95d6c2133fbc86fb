package product

import (
	"fmt"
	"slices"
	"strings"

	"gatehouse/domain/fault"
)

// MaxAmount is the greatest price in minor units.
const MaxAmount = 1_000_000_000_000

// Price is an amount of money: a whole number of the currency's minor unit
// (won, cents), never a fraction.
type Price struct {
	amount   int64
	currency Currency
}

// NewPrice checks an amount and an ISO 4217 code. Faults point at /amount and
// /currency.
func NewPrice(amount int64, currency string) (Price, error) {
	var v fault.Validation
	if amount < 0 || amount > MaxAmount {
		v.Add("/amount", "out_of_range", fmt.Sprintf("An amount is a whole number from 0 to %d in the currency's minor unit.", int64(MaxAmount)))
	}
	c, ok := ParseCurrency(currency)
	if !ok {
		v.Add("/currency", "invalid_value", "A currency is an ISO 4217 code in capitals, such as KRW.")
	}
	if err := v.Err(); err != nil {
		return Price{}, err
	}
	return Price{amount: amount, currency: c}, nil
}

// RestorePrice makes a price out of what a store kept. For adapters alone.
func RestorePrice(amount int64, currency string) Price {
	return Price{amount: amount, currency: Currency{currency}}
}

func (p Price) Amount() int64      { return p.amount }
func (p Price) Currency() Currency { return p.currency }

// Currency is one of the active currencies of ISO 4217.
type Currency struct{ code string }

// ParseCurrency reads a three-letter code in capitals.
func ParseCurrency(s string) (Currency, bool) {
	if _, known := slices.BinarySearch(currencies, s); !known {
		return Currency{}, false
	}
	return Currency{s}, true
}

func (c Currency) String() string { return c.code }

// The active codes of ISO 4217 list one, less those of precious metals, bond
// market units, testing and "no currency". Sorted.
var currencies = strings.Fields(`
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD
BTN BWP BYN BZD CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP
ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS
INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR
LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN
NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD
SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY
TTD TWD TZS UAH UGX USD UYU UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER
ZAR ZMW ZWG`)
