package sensors

import "strings"

// The words of the Waziup ontology for what a sensor measures and in which unit
// (Waziup's wazigate-edge, GET /ontologies). Drivers use no others; a
// configuration may, but is warned.
var (
	quantities = words(`Acceleration AccelerationInstantaneous ActivePower AirHumidity
		AirPollution AirQuality AirTemperature AlcoholLevel AngularSpeed AtmosphericPressure
		BatteryLevel BloodGlucose BloodPressure BoardTemperature BodyTemperature
		BuildingTemperature CO2 Capacitance ChemicalAgentAtmosphericConcentration
		ChemicalAgentAtmosphericConcentrationAirParticles ChemicalAgentAtmosphericConcentrationCO
		ChemicalAgentAtmosphericConcentrationDust ChemicalAgentAtmosphericConcentrationNH3
		ChemicalAgentAtmosphericConcentrationNO ChemicalAgentAtmosphericConcentrationNO2
		ChemicalAgentAtmosphericConcentrationO3 ChemicalAgentAtmosphericConcentrationSO2
		ChemicalAgentAtmosphericConcentrationVOC ChemicalAgentConcentration
		ChemicalAgentWaterConcentration ChemicalAgentWaterConcentrationNH4Ion
		ChemicalAgentWaterConcentrationNO3Ion ChemicalAgentWaterConcentrationO2 Cholesterol
		CloudCover Conductivity Count CountAvailableVehicles CountEmptyDockingPoints CountPeople
		DeltaDewPoint DeviceUptime DewPoint DewPointTemperature DirectionOfArrival Distance
		DistanceNextVehicle DoorStatus ElectricCharge ElectricCurrent ElectricField
		ElectricPotential ElectricalResistance Energy FillLevel FillLevelGasTank
		FillLevelWasteContainer FoodTemperature Frequency FuelConsumption
		FuelConsumptionInstantaneous FuelConsumptionTotal HeartBeat HouseholdApplianceTemperature
		Humidity Illuminance IonisingRadiation LeafWetness LuminousFlux LuminousIntensity
		MagneticField MagneticFluxDensity Mass Mileage MileageDistanceToService MileageTotal
		Motion MotionState MotionStateVehicle Orientation Other PH Position Power Precipitation
		Presence PresenceStateParking PresenceStatePeople Pressure Proximity Rainfall
		ReactivePower RelativeHumidity RoadTemperature RoomTemperature RotationalSpeed SPO2
		Salinity SkinConductance SoilHumidity SoilMoistureTension SoilTemperature SolarRadiation
		Sound SoundPressureLevel SoundPressureLevelAmbient Speed SpeedAverage SpeedInstantaneous
		SunPositionDirection SunPositionElevation Temperature TemperatureEngine
		TemperatureWasteContainer TimeOfArrival TimeOfArrivalNextVehicle Timestamp
		TrafficIntensity Visibility VoiceCommand Voltage WaterLevel WaterTemperature
		WeatherLuminosity WeatherPrecipitation Weight WindChill WindDirection WindSpeed
		WorkingState`)
	units = words(`Ampere Bar BeatPerMinute Candela Centibar Centimetre Coulomb Day Decibel
		DecibelA DecibelMilliwatt DegreeAngle DegreeAnglePerSecond DegreeCelsius DegreeFahrenheit
		Dimensionless EAQI Farad Gauss Gram GramPerCubicMetre GramPerLitre Hertz Hour Joule
		Kelvin KiloPascal KiloWattHour KilobitsPerSecond Kilogram KilogramPerCubicMetre Kilometre
		KilometrePerHour Litre LitrePer100Kilometres Lumen Lux Metre MetrePerSecond
		MetrePerSecondSquare MicroSiemens Microampere Microgram MicrogramPerCubicMetre Microvolt
		Microwatt MicrowattPerSquareCentimetre MilliMolPerLitre Milliampere Millibar Milligram
		MilligramPerCubicMetre MilligramPerDecilitre MilligramPerLitre MilligramPerSquareMetre
		Millilitre Millimetre MillimetreMercure MillimetrePerHour Millisecond Millivolt
		MillivoltPerMetre Milliwatt MinuteAngle MinuteTime Ohm Okta Other PartsPerBillion
		PartsPerMillion Pascal Percent Radian RadianPerSecond RadiationParticlesPerMinute
		RevolutionsPerMinute SecondAngle SecondTime Siemens SiemensPerMetre Tesla Tonne Volt
		VoltAmpereReactive VoltPerMetre Watt WattPerSquareMetre Weber Year`)
)

func words(text string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(text) {
		m[w] = true
	}
	return m
}

// KnownQuantity reports whether Waziup's ontology has a quantity kind.
func KnownQuantity(s string) bool { return quantities[s] }

// KnownUnit reports whether Waziup's ontology has a unit.
func KnownUnit(s string) bool { return units[s] }
